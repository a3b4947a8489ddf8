import type { AudioBackend } from '@retrap/device'
import type { PcPciPlace } from './pci-place.ts'

/** A sound device. */
export interface PcSoundDevice extends PcPciPlace {
  /** The model: the controller of an ICH with an AC'97 codec. */
  readonly model: 'ac97'
  /** The back end for the guest's sound; default nobody hears it. */
  readonly audio?: AudioBackend | undefined
}
