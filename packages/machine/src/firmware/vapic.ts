import { DomainVapic } from '@retrap/hvm'
import type { X86Domain, DomainVapicOptions } from '@retrap/hvm'
import type { FirmwareArea } from './firmware-area.ts'

/** How a PC's TPR patcher is set up. */
export interface PcVapicOptions extends Pick<DomainVapicOptions, 'poll' | 'behind' | 'apicPage'> {
  /** The option ROM with the helpers, such as the stock kvmvapic.bin; default ours. */
  readonly rom?: Uint8Array | undefined
}

/**
 * The patcher, which can write to ROM that firmware has locked.
 *
 * @param boot - holds the firmware below 1 MiB, once loaded
 */
export function createVapic(
  domain: X86Domain,
  options: boolean | PcVapicOptions | undefined,
  boot: { readonly area: FirmwareArea | undefined },
): DomainVapic {
  const { poll, behind, apicPage } = typeof options === 'object' ? options : {}
  return new DomainVapic(domain, {
    poll,
    behind,
    apicPage,
    mapRomWritable: (gpa, bytes) => boot.area?.unlock(gpa, bytes),
    unmapRom: () => boot.area?.unlock(0, 0),
  })
}
