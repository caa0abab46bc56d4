// The camera, where the browser has one and the user allows it.

const LIVE_EVERY_MS = 120;

class Camera {
  /** @param {function} look gets a frame, and is awaited before the next. */
  constructor(video, limitPx, look) {
    this.video = video;
    this.limitPx = limitPx;
    this.look = look;
    this.stream = null;
  }

  get isOn() {
    return this.stream !== null;
  }

  async start() {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new PictureError("this browser offers no camera to a page that is opened like this");
    }
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: "environment", width: { ideal: 640 }, height: { ideal: 480 } },
    });
    this.video.srcObject = this.stream;
    this.video.hidden = false;
    await this.video.play();
    this.watch();
  }

  stop() {
    for (const track of this.stream?.getTracks() ?? []) track.stop();
    this.stream = null;
    this.video.srcObject = null;
    this.video.hidden = true;
  }

  /** The frame of this moment. */
  frame() {
    const { videoWidth, videoHeight } = this.video;
    return videoWidth ? framePixels(this.video, videoWidth, videoHeight, this.limitPx) : null;
  }

  async watch() {
    const { stream } = this;
    while (this.stream === stream) {
      const frame = document.hidden ? null : this.frame();
      if (frame) await this.look(frame);
      await new Promise((done) => setTimeout(done, LIVE_EVERY_MS));
    }
  }
}
