'use strict';
// Which of the public methods of a library's objects have been called.
//
// The library is left as it is: the verbs get its objects wrapped in proxies that note the calls and pass them on.

class Offered {
  constructor(excused) {
    this.members = new Set();
    this.called = new Set(excused);
  }

  /** The object, with its calls noted. `depth` classes, from its own upwards, are what is offered. */
  watched(object, { depth = 1, prefix = '' } = {}) {
    const owners = new Map();
    let prototype = Object.getPrototypeOf(object);
    for (let level = 0; level < depth; level += 1) {
      for (const name of Object.getOwnPropertyNames(prototype)) {
        if (name === 'constructor' || name.startsWith('_') || owners.has(name)) continue;
        owners.set(name, `${prefix}${prototype.constructor.name}.${name}`);
        this.members.add(owners.get(name));
      }
      prototype = Object.getPrototypeOf(prototype);
    }
    return new Proxy(object, {
      get: (target, name) => {
        const value = target[name];
        if (typeof value !== 'function') return value;
        return (...args) => {
          if (owners.has(name)) this.called.add(owners.get(name));
          return value.apply(target, args);
        };
      },
    });
  }

  /** The names of the members that nobody called and nobody excused. */
  neverCalled() {
    return [...this.members].filter((name) => !this.called.has(name)).sort();
  }
}

module.exports = { Offered };
