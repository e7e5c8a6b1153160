// Building the page. Whatever a person wrote goes in as text, never as markup: there is no other way here.

export const $ = (id) => document.getElementById(id);

/** An element. `props`: `class`, `text`, `on` (listeners by event), anything else is an attribute. */
export function el(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const button = (text, listener, props = {}) =>
  el("button", { type: "button", text, on: { click: listener }, ...props });

/**
 * Makes a list's elements those of `items`, in their order. What has not changed stays the same element, so
 * that focus stays where it is and a screen reader announces only what is new.
 */
export function reconcile(parent, items, build) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of items) {
    let child = before.get(item.key);
    before.delete(item.key);
    if (!child || child.dataset.look !== item.look) {
      const fresh = build(item);
      fresh.dataset.key = item.key;
      fresh.dataset.look = item.look;
      if (child) {
        const hadFocus = child.contains(document.activeElement);
        if (place === child) place = fresh;
        child.replaceWith(fresh);
        if (hadFocus) (fresh.querySelector("button") ?? fresh).focus?.();
      }
      child = fresh;
    }
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of before.values()) child.remove();
}

let noticeTimer;

/** Something to be read now, gone in a while. */
export function notice(text) {
  $("notice").textContent = text;
  clearTimeout(noticeTimer);
  noticeTimer = setTimeout(() => ($("notice").textContent = ""), 6000);
}

/**
 * A dialog. `fill(body)` fills it; each of `actions` is [text, action]: the dialog closes when the action
 * returns, and shows what it throws. If it returns a function, that runs when the dialog is closed: only then
 * can anything outside have the focus.
 */
export function dialog(title, fill, actions = []) {
  const box = $("dialog");
  const body = $("dialog-body");
  $("dialog-title").textContent = title;
  $("dialog-error").textContent = "";
  body.replaceChildren();
  fill(body);
  const run = async (action) => {
    try {
      const then = await action();
      box.close();
      if (typeof then === "function") then();
    } catch (error) {
      $("dialog-error").textContent = error.message;
    }
  };
  const buttons = actions.map(([text, action], index) =>
    button(text, () => run(action), { class: index === 0 ? "primary" : "" }));
  $("dialog-buttons").replaceChildren(button("Close", () => box.close()), ...buttons.reverse());
  $("dialog-form").onsubmit = (event) => {
    event.preventDefault();
    if (actions.length > 0) run(actions[0][1]);
  };
  if (!box.open) box.showModal();
  (body.querySelector("input,select,button") ?? box).focus();
}

export const closeDialog = () => $("dialog").close();

export function field(label, props = {}) {
  const input = el("input", props);
  return { input, label: el("label", { text: label + " " }, input) };
}

export function clock(time) {
  return new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
}

export function day(time) {
  return new Date(time).toLocaleDateString([], { weekday: "long", day: "numeric", month: "long", year: "numeric" });
}
