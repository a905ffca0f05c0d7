// A `div` of a class.

import { make } from "./elements.js";

const makeBox = (name, ...children) => make("div", { class: name }, ...children);

export { makeBox };
