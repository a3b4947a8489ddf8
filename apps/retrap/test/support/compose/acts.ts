// Acts that a guest notices, beside its user's: devices come and go, a debugger writes, and the machine moves elsewhere.
import { setImmediate as turn } from 'node:timers/promises'
import { framePacket, GdbSession } from '@retrap/gdb'
import { migrate, type Channel, receiveMigration } from '@retrap/migration'
import type { MachinePluggable, PcSnapshot } from '@retrap/machine'
import { MemoryShare } from '@retrap/virtio/p9'
import type { Rng } from '@retrap/tooling/soak'
import { type Disk, silent } from './boards.ts'
import { newCard } from './card.ts'

/** The root port of a q35. */
export const PORT = 'port'

/** Devices that are plugged in, each made anew. */
export const PLUGGED: Readonly<Record<string, (port: string, disk: Disk) => MachinePluggable>> = {
  'virtio-rng': (port) => ({ virtio: { kind: 'rng', port } }),
  'virtio-net': (port) => ({ virtio: { kind: 'net', network: silent, port } }),
  'virtio-console': (port) => ({ virtio: { kind: 'console', ports: [{ stream: { send() {} } }], port } }),
  'virtio-keyboard': (port) => ({ virtio: { kind: 'keyboard', port } }),
  'virtio-9p': (port) => ({ virtio: { kind: 'share', share: new MemoryShare(), tag: 'p', readOnly: true, port } }),
  'virtio-blk': (port, medium) => ({ drive: { medium, interface: 'virtio', virtio: { port } } }),
  NVMe: (port, medium) => ({ drive: { medium, interface: 'nvme', nvme: { port } } }),
  e1000: (port) => ({ networkCard: { model: 'e1000', network: silent, port } }),
  AC97: (port) => ({ sound: { model: 'ac97', port } }),
  xHCI: (port) => ({ usb: { devices: [{ kind: 'keyboard' }, { kind: 'tablet' }], port } }),
  adder: (port) => ({ device: newCard(), port }),
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')
const EDGES = ['00', '01', '7f', '80', 'ff'] as const

/** Draws what a debugger's client writes: registers, and physical memory. */
export function drawWrites(rng: Rng, arm: boolean, cpus: number): string[] {
  const register = (): string => {
    // The general registers, the program counter and the flags; a PC's segments, too.
    const number = rng.below(arm ? 34 : 24)
    const bytes = (arm ? number === 33 : number > 16) ? 4 : 8
    const value = rng.chance() ? rng.pick(EDGES).repeat(bytes) : hex(rng.bytes(bytes))
    return `P${number.toString(16)}=${value}`
  }
  const memory = (): string => {
    const count = rng.between(1, 16)
    const address =
      (arm ? 0x4000_0000 : 0) + rng.pick([rng.below(0x400), 0xf_0000 + rng.below(0x1000), rng.below(1 << 22)])
    return `M${address.toString(16)},${count.toString(16)}:${hex(rng.bytes(count))}`
  }
  const writes = Array.from({ length: rng.between(1, 4) }, () => (rng.chance() ? register() : memory()))
  return [`Hg${(1 + rng.below(cpus)).toString(16)}`, 'Qqemu.PhyMemMode:1', ...writes]
}

/** A machine that a debugger can be attached to. */
interface Debugged {
  gdbTarget(options: { kill(): void }): Promise<ConstructorParameters<typeof GdbSession>[0]>
}

/** Attaches a client of gdb's protocol, which sends packets and goes. */
export async function debugBy(machine: Debugged, packets: readonly string[]): Promise<void> {
  const session = new GdbSession(await machine.gdbTarget({ kill() {} }), { write() {}, end() {} })
  for (const packet of packets) {
    session.receive(framePacket(packet))
    await turn()
  }
  session.closed()
}

/** Two ends of one connection. @param sent - is waited for before a piece of the first end's goes on */
function connection(sent: () => Promise<void>): readonly [Channel, Channel] {
  const [there, back] = [new TransformStream<Uint8Array>(), new TransformStream<Uint8Array>()]
  const end = (out: typeof there, into: typeof there, before: () => Promise<void>): Channel => {
    const [writer, reader] = [out.writable.getWriter(), into.readable.getReader()]
    return {
      send: (bytes) => before().then(() => writer.write(bytes)),
      receive: async () => (await reader.read()).value ?? null,
      close: () => void Promise.allSettled([writer.close(), reader.cancel()]),
    }
  }
  return [end(there, back, sent), end(back, there, async () => {})]
}

type Moved = Parameters<typeof migrate>[1]

/**
 * Moves a machine as `retrap migrate` does.
 *
 * @param goOn - takes the machine a little on, whenever a piece of its memory is sent before the stop
 * @param make - makes the machine at the destination
 * @returns that machine, and whether its user has paused it
 * @throws what `stop` and `save` of a machine that has ended throw
 */
export async function moveBy<T>(
  machine: Pick<Moved, 'domain' | 'save' | 'isPaused'>,
  downtimeMs: number,
  goOn: () => Promise<void>,
  make: (snapshot: PcSnapshot) => Promise<T>,
): Promise<{ readonly moved: T; readonly isPaused: boolean }> {
  let runs = true
  const [near, far] = connection(async () => (runs ? goOn() : undefined))
  const arriving = (async () => {
    const arrived = await receiveMigration(far)
    const moved = await make(arrived.snapshot as PcSnapshot)
    return { moved, ...(await arrived.takeOver()) }
  })()
  arriving.catch(() => undefined)
  // Nothing runs but within `goOn`, and nothing at all between the save and the hand-over.
  const stop = async (): Promise<void> => void (runs = false)
  const save = (options: Parameters<typeof machine.save>[0]) => machine.save(options)
  const source = { domain: machine.domain, save, stop, resume() {}, isPaused: () => machine.isPaused?.() === true }
  await migrate(near, source, { downtimeMs })
  return arriving
}
