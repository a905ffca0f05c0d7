// Notices that nobody answers what was sent, as after a restart of the kernel.

const PATIENCE = 2000; // milliseconds

class Heartbeat {
  constructor(onSilence) {
    this.onSilence = onSilence;
    this.isWaiting = false;
    // What the kernel says of a message: "busy" when it begins with it, "idle" when it is done.
    const onStatus = ({ content }) => {
      if (content.execution_state === "busy") clearTimeout(this.timer); // a slow model
      else if (this.isWaiting) this.start();
    };
    this.callbacks = { iopub: { status: onStatus } };
  }

  /** Wait for an answer to what is sent now, and give `callbacks` along with it. */
  expect() {
    if (!this.isWaiting) this.start();
    return this.callbacks;
  }

  start() {
    clearTimeout(this.timer);
    this.isWaiting = true;
    this.timer = setTimeout(this.onSilence, PATIENCE);
  }

  /** Stop waiting: something was heard. */
  hear() {
    clearTimeout(this.timer);
    this.isWaiting = false;
  }
}

export { Heartbeat };
