// Reads and writes a machine's memory and registers for its debugger. Loaded on demand.
import type { MachineDebugger } from '@retrap/machine'
import { type LinuxMemory, ramOf } from '@retrap/symbols'
import type { MachineChange, MemoryPlace } from '../debugger.ts'
import { WebError } from '../errors.ts'

const MOST_BYTES = 4096
/** Places that a search finds, and bytes that it looks at in one piece. */
const [MOST_FOUND, PIECE_BYTES] = [100, 1 << 20]

/** @throws WebError `ERR_OPTION` */
function checkLength(length: number): void {
  if (!(Number.isSafeInteger(length) && length >= 1 && length <= MOST_BYTES))
    throw new WebError('ERR_OPTION', `length: ${length} bytes; expected 1 to ${MOST_BYTES}`)
}

/** Reads memory. @returns fewer bytes if memory ends earlier @throws WebError `ERR_OPTION` */
export function readMemory(
  tool: MachineDebugger,
  { address, length = 1, physical = false, cpu = 0 }: MemoryPlace,
): Uint8Array<ArrayBuffer> {
  checkLength(length)
  const into = new Uint8Array(length)
  const read = physical ? tool.readPhysical(Number(address), into) : tool.read(address, into, cpu)
  return into.slice(0, read)
}

/** Searches a machine's RAM. @returns guest-physical addresses, at most {@link MOST_FOUND} @throws WebError `ERR_OPTION` */
export function findMemory(machine: LinuxMemory, bytes: Uint8Array): number[] {
  checkLength(bytes.length)
  const ram = ramOf(machine)
  const found: number[] = []
  for (const stretch of ram.stretches)
    for (let done = 0; done < stretch.bytes && found.length < MOST_FOUND; done += PIECE_BYTES) {
      // A match may begin in this piece and end in the piece after it.
      const piece = ram.read(stretch.from + done, Math.min(PIECE_BYTES + bytes.length - 1, stretch.bytes - done))
      for (let at = piece?.indexOf(bytes[0]!) ?? -1; at >= 0; at = piece!.indexOf(bytes[0]!, at + 1)) {
        if (found.length === MOST_FOUND || at >= PIECE_BYTES) break
        if (bytes.every((byte, i) => piece![at + i] === byte)) found.push(stretch.from + done + at)
      }
    }
  return found
}

/**
 * Changes a machine that its debugger has stopped.
 *
 * @returns a function that undoes the change
 * @throws WebError `ERR_OPTION` for addresses without memory, and read-only registers; MachineError `ERR_OPTION` for unknown registers
 */
export function changeMachine(tool: MachineDebugger, change: MachineChange): () => void {
  const { cpu = 0 } = change
  if ('register' in change) {
    const { register, value } = change
    const before = tool.register(register, cpu)
    if (!tool.setRegister(register, value, cpu))
      throw new WebError('ERR_OPTION', `${register} cannot be changed, or not before a device has answered`)
    return () => void tool.setRegister(register, before, cpu)
  }
  const { address, bytes, physical = false } = change
  const { length } = bytes
  checkLength(length)
  const write = (given: Uint8Array): number =>
    physical ? tool.writePhysical(Number(address), given) : tool.write(address, given, cpu)
  const before = readMemory(tool, { address, length, physical, cpu })
  const undo = (): void => void write(before)
  if (before.length === length && write(bytes) === length) return undo
  undo()
  throw new WebError('ERR_OPTION', `0x${address.toString(16)}: there is no memory for ${length} bytes at this address`)
}

/**
 * Changes a recorded machine, which stands still, for an action that saves it. The change is reverted if that fails.
 *
 * @throws as {@link changeMachine}; errors of the action
 */
export async function withChange<T>(tool: MachineDebugger, change: MachineChange, save: () => Promise<T>): Promise<T> {
  tool.changesRecorded = true
  try {
    await tool.stop()
    const undo = changeMachine(tool, change)
    // A machine that is saved has no debugger.
    tool.resume()
    try {
      return await save()
    } catch (error) {
      await tool.stop()
      undo()
      throw error
    }
  } finally {
    tool.resume()
    tool.changesRecorded = false
  }
}
