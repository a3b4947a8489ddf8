/** How samples follow one another. */
export interface AudioFormat {
  /** Frames a second. */
  readonly rate: number
  /** Samples of a frame: 1, or 2 with the left one first. */
  readonly channels: 1 | 2
}

/** Loudspeakers, as a sound device's model uses them. */
export interface AudioBackend {
  /**
   * Plays samples after those before, as the guest's time passes.
   *
   * @param samples - 16 bits, signed; valid until the call returns
   */
  play(samples: Int16Array, format: AudioFormat): void
}
