/**
 * One event of a keyboard or pointer.
 *
 * Keys are usages of the HID Keyboard/Keypad page (0x07), buttons of the Button page (0x09): 1 left, 2 right, 3 middle.
 *
 * Source: USB HID Usage Tables 1.12, "Keyboard/Keypad Page" and "Button Page".
 */
export type InputEvent =
  /** A key went down or up; repeats are the keyboard's own. */
  | { readonly kind: 'key'; readonly usage: number; readonly down: boolean }
  /** A button went down or up. */
  | { readonly kind: 'button'; readonly button: number; readonly down: boolean }
  /** The pointer moved by this much: right and down are positive. */
  | { readonly kind: 'relative'; readonly dx: number; readonly dy: number }
  /** The pointer is at this place: 0 to 32767 from left to right, and from top to bottom. */
  | { readonly kind: 'absolute'; readonly x: number; readonly y: number }
  /** The wheel turned by this many detents: away from the user and to the right are positive. */
  | { readonly kind: 'wheel'; readonly vertical: number; readonly horizontal: number }

/** Takes input; a keyboard's or pointer's model implements it. */
export interface InputClient {
  /** Takes simultaneous events in order. @returns how many were taken; the rest follow after `ready` */
  input(events: readonly InputEvent[]): number
  /** Events taken but not yet delivered to the model: a replacement client gets them. */
  readonly unread?: readonly InputEvent[]
}

/** A source of input, as a keyboard's or pointer's model uses it. */
export interface InputBackend {
  /** Names the model that takes the events, once. */
  connect(client: InputClient): void
  /** Tells that the model has room again after `input` took fewer events than were offered. */
  ready(): void
  /**
   * Tells whether the guest uses the model. Where several share a back end, events go to the one that it has begun to use
   * last; one that never tells stands behind the others.
   */
  setActive?(active: boolean): void
  /** Tells which pointer the guest drives, so that a window knows whether to capture the mouse. */
  setPointer?(kind: 'none' | 'relative' | 'absolute'): void
  /** Sets the keyboard's lamps. */
  setLeds?(leds: { readonly numLock: boolean; readonly capsLock: boolean; readonly scrollLock: boolean }): void
}

/** Format of audio samples. */
export interface AudioFormat {
  /** Frames a second. */
  readonly rate: number
  /** Samples of a frame: 1, or 2 with the left one first. */
  readonly channels: 1 | 2
}

/** Loudspeakers, as a sound device's model uses them. */
export interface AudioBackend {
  /**
   * Plays samples after earlier ones, as guest time passes.
   *
   * @param samples - 16 bits, signed; valid until the call returns
   */
  play(samples: Int16Array, format: AudioFormat): void
}
