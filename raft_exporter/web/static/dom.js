// Changing the page without touching what has not changed: focus, selection and tooltips stay.

/** Give the element with this id. */
export const byId = (id) => document.getElementById(id);

/** Set the text of an element, only if it is another. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Set an attribute, only if it is another; null takes it away. */
export function mark(element, name, value) {
  if (value === null) element.removeAttribute(name);
  else if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

/** Make an element, with its class and its text. */
export function make(tag, className = "", text = "") {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text) element.textContent = text;
  return element;
}

/**
 * Have one child for each item, in their order: kept by `key(item, number)`, made by `create(item)`, and brought
 * up to date by `update(child, item)`.
 */
export function each(parent, items, key, create, update) {
  const before = new Map(Array.from(parent.children, (child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const [number, item] of items.entries()) {
    const name = key(item, number);
    let child = before.get(name);
    if (child === undefined) {
      child = create(item);
      child.dataset.key = name;
    }
    before.delete(name);
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const child of before.values()) child.remove();
}
