import { describeArgument } from '@retrap/basics'
import { MemoryError } from './errors.ts'
import { fixedBytes, PAGE_BYTES, MAX_GUEST_RAM_BYTES, MAX_MACHINE_BYTES } from './layout.ts'

/**
 * Bytes of machine memory for a guest with this much RAM: the RAM, room to align it to 2 MiB, and the hypervisor's own.
 *
 * @param hypervisorBytes - tables, logs and frame buffers; the default suits a PC
 * @throws MemoryError `ERR_TOO_LARGE` above {@link MAX_GUEST_RAM_BYTES}
 */
export function machineBytesFor(guestRamBytes: number, hypervisorBytes: number = 64 << 20): number {
  for (const bytes of [guestRamBytes, hypervisorBytes]) {
    if (typeof bytes === 'number' && bytes >= 0) continue
    throw new MemoryError('ERR_ARGUMENT', `${describeArgument(bytes)} bytes: expected a number from 0 on`)
  }
  if (guestRamBytes > MAX_GUEST_RAM_BYTES) throw tooLarge('guest RAM', guestRamBytes, MAX_GUEST_RAM_BYTES)
  const bytes = guestRamBytes + hypervisorBytes + bookkeepingBytes(guestRamBytes + hypervisorBytes) + 0x20_0000
  if (bytes > MAX_MACHINE_BYTES) throw tooLarge('guest RAM with the hypervisor', bytes, MAX_MACHINE_BYTES)
  return Math.ceil(bytes / 0x20_0000) * 0x20_0000
}

function bookkeepingBytes(bytes: number): number {
  const frames = Math.ceil(bytes / PAGE_BYTES)
  return frames * 5 + Math.ceil(frames / 8) + 4 * PAGE_BYTES + fixedBytes(frames)
}

/** The error for more than one WebAssembly memory can hold. */
export function tooLarge(what: string, bytes: number, most: number): MemoryError {
  return new MemoryError(
    'ERR_TOO_LARGE',
    `${what} of ${bytes} bytes: a machine lives in one 32-bit WebAssembly memory of 4 GiB: ` +
      `at most ${most} bytes here (3.5 GiB of guest RAM)`,
    { requestedBytes: bytes, mostBytes: most },
  )
}
