// Inside the network, live: the strongest feature maps of each layer, and the highest logits.

import { Maps } from "../../canvas/static/maps.js";

function render({ model, el }) {
  const view = new Maps(model, el);
  return () => view.destroy();
}

export default { render };
