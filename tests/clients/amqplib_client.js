'use strict';
// The verbs of amqplib (npm): with promises, with callbacks, with its own recovery.

require('./amqplib_connection');
require('./amqplib_topology');
require('./amqplib_messages');
require('./amqplib_callbacks');
require('./amqplib_restart');
const { AMQPLIB } = require('./amqplib_scene');

AMQPLIB.main(process.argv.slice(2)).then(
  (code) => process.exit(code),
  (error) => {
    console.error(error.message);
    process.exit(2);
  },
);
