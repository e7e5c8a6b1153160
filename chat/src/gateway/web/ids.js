// Ids that clients make.

const BASE32 = "abcdefghijklmnopqrstuvwxyz234567";

function random(length) {
  const bytes = new Uint8Array(length);
  crypto.getRandomValues(bytes);
  return bytes;
}

/** A message's id: UUID version 7, the time in front. With the sender it makes sending again harmless. */
export function messageId(now = Date.now()) {
  const bytes = random(16);
  for (let place = 5, time = now; place >= 0; place--, time = Math.floor(time / 256)) bytes[place] = time % 256;
  bytes[6] = (bytes[6] & 0x0f) | 0x70;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** A new group's id. */
export function groupId() {
  return "g_" + [...random(26)].map((byte) => BASE32[byte % 32]).join("");
}
