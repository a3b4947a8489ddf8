/**
 * Devices that are spoken to as Linux's KVM speaks to a virtual machine monitor: by its exit for an access to no memory.
 *
 * Source: Linux, "The Definitive KVM (Kernel-based Virtual Machine) API Documentation", KVM_EXIT_MMIO.
 */
import { AccessKind, type AccessLog, type AccessStatus, STATUS_DONE, STATUS_RETRY } from '@retrap/replay'

/** An exit for an access to an address without memory. */
export interface MmioExit {
  /** Intermediate physical address. */
  readonly phys_addr: number
  /** The bytes to write; or eight bytes, of which a read fills in `len`. In memory order. */
  readonly data: Uint8Array
  /** Size of the access in bytes: 1, 2, 4 or 8. */
  readonly len: number
  /** 1 for a write, 0 for a read. */
  readonly is_write: boolean
}

/** Handles an exit; a promise puts the instruction off. */
export type MmioHandler = (exit: MmioExit) => void | Promise<void>

/**
 * The `device` of an `ArmWorld` on top of such a handler. An access of 64 bytes is eight exits, in order.
 *
 * @param handler - called once for each exit
 * @param answered - called when a promise has settled: then `answer(failed)` and `resume` are due
 */
export function kvmMmio(
  handler: MmioHandler,
  answered: (failed: boolean) => void,
): (log: AccessLog, index: number) => AccessStatus {
  return (log, index) => {
    const size = log.size(index)
    const write = log.kind(index) === AccessKind.MMIO_WRITE
    const address = log.addressHi(index) * 2 ** 32 + log.addressLo(index)
    const bytes = new Uint8Array(Math.max(size, 8))
    if (write) log.copyBytes(index, bytes)
    const finish = (): void => {
      if (!write) log.setBytes(index, bytes)
    }
    const exit = (offset: number): void | Promise<void> =>
      handler({
        phys_addr: address + offset,
        data: bytes.subarray(offset, offset + 8),
        len: Math.min(size, 8),
        is_write: write,
      })
    for (let offset = 0; offset < size; offset += 8) {
      const promise = exit(offset)
      if (promise === undefined) continue
      void later(promise, exit, offset + 8, size).then(
        () => {
          finish()
          answered(false)
        },
        () => answered(true),
      )
      return STATUS_RETRY
    }
    finish()
    return STATUS_DONE
  }
}

/** Handles the remaining exits after one has become asynchronous. */
async function later(
  first: Promise<void>,
  exit: (offset: number) => void | Promise<void>,
  from: number,
  size: number,
): Promise<void> {
  await first
  for (let offset = from; offset < size; offset += 8) await exit(offset)
}
