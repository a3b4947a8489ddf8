import type { AudioBackend } from '@retrap/device'
import type { PcPciPlace } from './pci-place.ts'

/** A sound device. */
export interface PcSoundDevice extends PcPciPlace {
  /** What it is: the controller of an ICH with an AC'97 codec. */
  readonly model: 'ac97'
  /** What the guest plays goes here; default nobody hears it. */
  readonly audio?: AudioBackend | undefined
}
