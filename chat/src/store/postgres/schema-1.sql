-- The chat's tables. What is decided about them is decided in the service: a table is a kind of key of
-- chat/src/store/kv/key.rs, and a value is the JSON that the other stores keep, too.
--
-- `json` and not `jsonb`: a value is kept as it was written, and a text may hold U+0000.

CREATE TABLE deployment (key bytea PRIMARY KEY, value json);
CREATE TABLE users (key bytea PRIMARY KEY, value json);
CREATE TABLE handles (key bytea PRIMARY KEY, value json);
-- Changed with each message, and no indexed column is: room for that on the same page.
CREATE TABLE conversations (key bytea PRIMARY KEY, value json) WITH (fillfactor = 70);
CREATE TABLE cursors (key bytea PRIMARY KEY, value json) WITH (fillfactor = 70);
CREATE TABLE members (key bytea PRIMARY KEY, value json);
CREATE TABLE memberships (key bytea PRIMARY KEY, value json);
CREATE TABLE message_ids (key bytea PRIMARY KEY, value json);
CREATE TABLE edits (key bytea PRIMARY KEY, value json);
CREATE TABLE devices (key bytea PRIMARY KEY, value json);
CREATE TABLE sessions (key bytea PRIMARY KEY, value json);
CREATE TABLE device_sessions (key bytea PRIMARY KEY, value json);

-- The history grows for ever; in parts it can be vacuumed, moved and rebuilt part by part.
CREATE TABLE messages (
    conv text COLLATE "C" NOT NULL,
    seq bigint NOT NULL CHECK (seq > 0),
    value json NOT NULL,
    PRIMARY KEY (conv, seq)
) PARTITION BY HASH (conv);

DO $$
BEGIN
    FOR part IN 0..63 LOOP
        EXECUTE format(
            'CREATE TABLE messages_%s PARTITION OF messages FOR VALUES WITH (MODULUS 64, REMAINDER %s)',
            lpad(part::text, 2, '0'), part);
    END LOOP;
END
$$;
