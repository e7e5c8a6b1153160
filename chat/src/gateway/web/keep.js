// What survives a closed tab: the login, and messages that are not in the history yet.

const LOGIN = "leveret.login";
const DEVICES = "leveret.devices";
const STORE = "outbox";

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;
  }
}

export const loadLogin = () => read(LOGIN);
export const saveLogin = (login) => localStorage.setItem(LOGIN, JSON.stringify(login));
export const dropLogin = () => localStorage.removeItem(LOGIN);

/** This browser's device for a name, so that logging in again is no new device. */
export const knownDevice = (handle) => read(DEVICES)?.[handle];
export function rememberDevice(handle, device) {
  localStorage.setItem(DEVICES, JSON.stringify({ ...read(DEVICES), [handle]: device }));
}

let opened;

function database() {
  opened ??= new Promise((resolve, reject) => {
    const request = indexedDB.open("leveret", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opened;
}

async function change(work) {
  const db = await database();
  return new Promise((resolve, reject) => {
    // Strict: what is said to be kept is on the disk.
    const transaction = db.transaction(STORE, "readwrite", { durability: "strict" });
    work(transaction.objectStore(STORE));
    transaction.oncomplete = () => resolve();
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

export const putPost = (post) => change((store) => store.put(post));
export const dropPost = (id) => change((store) => store.delete(id));

/** All messages of a user that are not in the history, in the order in which they were written. */
export async function loadPosts(user) {
  const db = await database();
  return new Promise((resolve, reject) => {
    const request = db.transaction(STORE).objectStore(STORE).getAll();
    request.onsuccess = () => resolve(request.result.filter((post) => post.from === user).sort((a, b) => (a.id < b.id ? -1 : 1)));
    request.onerror = () => reject(request.error);
  });
}
