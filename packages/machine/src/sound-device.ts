import type { AudioBackend } from '@retrap/device'

/** A sound device. */
export interface PcSoundDevice {
  /** What it is: the controller of an ICH with an AC'97 codec. */
  readonly model: 'ac97'
  /** What the guest plays goes here; default nobody hears it. */
  readonly audio?: AudioBackend | undefined
  /** PCI device number, 3 to 31 (from 4 on with Xen); default the lowest free one. */
  readonly slot?: number | undefined
}
