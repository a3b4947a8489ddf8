// A card of the caller's, a PCI function that adds up bytes. The Worker or process that has one imports this module.
import { setImmediate as turn } from 'node:timers/promises'
import * as devices from '@retrap/device'

/** What the host does meanwhile follows from no seed: a guest must not see it. */
export async function someTurns(): Promise<void> {
  for (let i = Math.floor(Math.random() * 4); i > 0; i--) await turn()
}

/** Virtual time that a sum takes. */
const LATENCY_NS = 20_000

/** A card: the guest names a buffer in its memory, and rings; the sum goes behind the buffer, and an interrupt tells of it. */
export function newCard(): devices.DeviceModel {
  const registers = [0, 0, 0, 0]
  let context: devices.DeviceContext
  let fn: devices.PciFunction
  let timer: devices.Timer
  let sum = 0
  /** The sum that is on its way into memory. */
  let writing: Promise<void> | undefined

  async function ring(): Promise<void> {
    const bytes = new Uint8Array(registers[1]! & 0xffff)
    await someTurns()
    if (!fn.mayMaster || !(await context.dma.readAsync(registers[0]!, bytes))) return
    sum = bytes.reduce((all, byte) => (all + byte) >>> 0, 0)
    timer.armAfter(LATENCY_NS)
  }

  async function done(): Promise<void> {
    await someTurns()
    await context.dma.writeAsync(registers[0]! + (registers[1]! & 0xffff), new Uint8Array(Uint32Array.of(sum).buffer))
    registers[3]!++
    fn.interrupt!.set((registers[3]! & 1) !== 0)
  }

  return {
    name: 'adder',
    deterministic: true,
    // Its handlers answer later.
    synchronous: false,
    attach(given) {
      context = given
      timer = given.timer(() => (writing = done()))
      const read = (offset: number): number => registers[offset / 4] ?? 0
      const write = (offset: number, _size: number, value: number): Promise<void> | void => {
        if (offset === 8) return ring()
        if (offset < 8) registers[offset / 4] = value
      }
      fn = given.pci.add({
        // No device of the board's is there.
        device: 27,
        ...{ vendorId: 0x1234, deviceId: 0xadd0, classCode: 0x12_0000, interruptPin: 1 },
        bars: [{ index: 0, kind: 'memory', bytes: 4096, minimumAccess: 4, handler: { read, write } }],
      })
    },
    quiesce: async () => writing,
    resume() {},
    save() {
      const at = new devices.Instant()
      return { version: 1, registers: [...registers], sum, armed: timer.readDeadline(at) ? at.save() : null }
    },
    restore(state) {
      const saved = state as { registers: number[]; sum: number; armed: devices.Word64 | null }
      registers.splice(0, 4, ...saved.registers)
      sum = saved.sum
      if (saved.armed !== null) timer.armAfter(0, saved.armed)
      else timer.cancel()
    },
    reset() {
      registers.fill(0)
      timer.cancel()
    },
  }
}

export const card: devices.DeviceModel = newCard()
