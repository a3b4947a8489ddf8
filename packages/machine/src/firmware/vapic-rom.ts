import { buildVapicRom } from '@retrap/vapic/rom'
import type { OptionRom } from './option-roms.ts'
import type { PcVapicOptions } from './vapic.ts'

/** Returns the option ROM of the TPR patcher: the one that was given, or ours. */
export function vapicRom(options: true | PcVapicOptions): OptionRom {
  const given = options === true ? undefined : options.rom
  return { name: 'kvmvapic.bin', bytes: given ?? buildVapicRom() }
}
