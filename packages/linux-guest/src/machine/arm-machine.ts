import { promisify } from 'node:util'
import * as zlib from 'node:zlib'
import { MemoryStorage, RawImage } from '@retrap/block'
import type * as Arm from '@retrap/machine/arm'
import type { ArmMachineOptions, ArmSnapshotSource } from '@retrap/machine/arm'
import { loadInterpreters } from './interpreters.ts'
import type { Machine, MachineOptions } from './machine-contract.ts'
import { CliError } from '../errors.ts'

/** Bytes of decoded firmware, kernel and programs of a system: with less a boot of Debian takes an eighth longer. */
export const CODE_CACHE_BYTES: number = 64 << 20

/** The part of `@retrap/machine/arm` for options. @throws CliError `ERR_USAGE` for options that only a PC has */
export async function loadArm(
  options: MachineOptions,
): Promise<{ readonly arm: typeof Arm; readonly given: ArmMachineOptions }> {
  if (options.modules !== undefined && options.modules.length > 0)
    throw new CliError('ERR_USAGE', '--module is not there for --arch arm64; write --initrd FILE')
  const arm = await import('@retrap/machine/arm')
  await loadInterpreters('arm64')
  const { snapshot, jit, firmware, ...both } = options
  const given: ArmMachineOptions = {
    ...both,
    ...(snapshot !== undefined && { snapshot: snapshot as ArmSnapshotSource }),
    codeCacheBytes: CODE_CACHE_BYTES,
    unzstd: unzstd(),
    flash: options.flash ?? flashOf(firmware),
    jit: await jitOf(jit),
  }
  return { arm, given }
}

/** Returns the compiler's settings, which print the guest's instructions if a listener wants them. */
async function jitOf(jit: MachineOptions['jit']): Promise<NonNullable<ArmMachineOptions['jit']>> {
  if (typeof jit !== 'object') return jit === true
  const { keep, helper, onCode } = jit
  if (onCode === undefined) return { ...(keep && { keep }), ...(helper && { helper }) }
  const { formatA32, formatA64, formatThumb } = await import('@retrap/arm-decoder')
  const disassemble = (aarch32: boolean, bytes: Uint8Array, address: bigint): string | undefined => {
    const halves = Array.from({ length: bytes.length >> 1 }, (_, i) => bytes[2 * i]! | (bytes[2 * i + 1]! << 8))
    const [first = 0, second = 0] = halves
    if (aarch32 && (address & 1n) !== 0n) return formatThumb(first, second, { address: address - 1n })
    return (aarch32 ? formatA32 : formatA64)((first | (second << 16)) >>> 0, { address })
  }
  return {
    ...(keep && { keep }),
    onCode: (code) =>
      onCode({
        ...code,
        bits: code.aarch32 ? 32 : 64,
        disassemble: (bytes, address) => disassemble(code.aarch32, bytes, address) ?? UNALLOCATED,
      }),
  }
}

/** The text of an instruction that the architecture does not have. */
const UNALLOCATED = 'udf'

/** Makes an Arm machine. @throws CliError `ERR_USAGE` for options that only a PC has */
export async function createArm(options: MachineOptions): Promise<Machine> {
  const { arm, given } = await loadArm(options)
  return arm.createArmMachine(given)
}

/** Node's Zstandard, which older ones do not have. */
export function unzstd(): ArmMachineOptions['unzstd'] {
  const { zstdDecompress }: Partial<typeof zlib> = zlib
  if (zstdDecompress === undefined) return undefined
  const decompress = promisify(zstdDecompress)
  return async (data, bytes) => decompress(data, { maxOutputLength: bytes })
}

/** A firmware image as a flash that keeps nothing. */
export function flashOf(firmware: Uint8Array | undefined): MachineOptions['flash'] {
  if (firmware === undefined) return undefined
  return [{ medium: new RawImage(new MemoryStorage(firmware, { readOnly: true })), readOnly: true }]
}
