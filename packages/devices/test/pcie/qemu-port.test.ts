import { hasProgram, skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { PortMachine, SLOT_CONTROL, SLOT_STATUS } from '../support/port-machine.ts'
import { QemuPort } from '../support/qemu-port.ts'

const available = hasProgram('qemu-system-x86_64')
const note = skipNote(available, 'there is no qemu-system-x86_64')

/** QEMU 7.2 has an electromechanical interlock, which ours has not. */
const INTERLOCK = 1 << 17
const INTERLOCK_CONTROL = 1 << 11
/** Ours tells changes of the link, as §7.8.11 asks of a port that reports whether it is active; QEMU 7.2 does not. */
const LINK_CHANGED = 1 << 8
const LINK_CHANGED_ENABLE = 1 << 12

/**
 * What the guest finds: slot control and status, whether the link is active, and whether a card answers. The link of a slot
 * without power counts as not active: QEMU's status goes on to say that it is.
 */
type Found = readonly [control: number, status: number, isUp: boolean, isThere: boolean]

const POWER_OFF = 1 << 10
const isUp = (linkStatus: number, control: number): boolean =>
  (linkStatus & 0x2000) !== 0 && (control & POWER_OFF) === 0

/** A port with a card that comes and goes, ours or QEMU's. */
interface Port {
  capabilities(): Promise<number>
  found(): Promise<Found>
  set(register: number, value: number): Promise<void>
  plug(): Promise<void>
  unplug(): Promise<void>
}

function ours(occupied: boolean): Port {
  const machine = new PortMachine()
  if (occupied) machine.insert(false)
  const settle = async (): Promise<void> => {
    await machine.pass()
    if (machine.log.pop()?.startsWith('release') === true) machine.remove()
    machine.log.length = 0
  }
  return {
    capabilities: async () => machine.register(0x14, 4),
    found: async () => [
      machine.register(SLOT_CONTROL),
      machine.register(SLOT_STATUS) & ~LINK_CHANGED,
      isUp(machine.register(0x12), machine.register(SLOT_CONTROL)),
      machine.found !== 0xffff_ffff,
    ],
    set: async (register, value) => {
      machine.setRegister(register, value)
      await settle()
    },
    plug: async () => machine.insert(true),
    unplug: async () => machine.tree.slot('slot')!.events.requested(),
  }
}

const theirs = (qemu: QemuPort): Port => ({
  capabilities: async () => (await qemu.register(0x14, 4)) & ~INTERLOCK,
  found: async () => [
    await qemu.register(SLOT_CONTROL),
    await qemu.register(SLOT_STATUS),
    isUp(await qemu.register(0x12), await qemu.register(SLOT_CONTROL)),
    (await qemu.read(0, 4, 1 << 8)) !== 0xffff_ffff,
  ],
  set: (register, value) => qemu.setRegister(register, value),
  plug: () => qemu.command('device_add', { driver: 'virtio-rng-pci', bus: 'rp1', id: 'card' }),
  unplug: () => qemu.command('device_del', { id: 'card' }),
})

/** A write of ones where there are no events is what QEMU ignores as a whole. */
const clear = async (port: Port): Promise<void> => port.set(SLOT_STATUS, (await port.found())[1])

/** What a guest does, and what is done to it, by name. */
const STEPS: readonly (readonly [name: string, step: (port: Port) => Promise<void>])[] = [
  [
    'takes all that can be written',
    (port) => port.set(SLOT_CONTROL, 0xffff & ~LINK_CHANGED_ENABLE & ~INTERLOCK_CONTROL),
  ],
  ['clears status', clear],
  ['enables events', (port) => port.set(SLOT_CONTROL, 0x07f9)],
  ['clears status again', clear],
  ['a card comes', (port) => port.plug()],
  ['clears the button alone', (port) => port.set(SLOT_STATUS, 1)],
  ['clears presence', (port) => port.set(SLOT_STATUS, 8)],
  ['gives power, and lets the indicator blink', (port) => port.set(SLOT_CONTROL, 0x02f9)],
  ['sets the indicator', (port) => port.set(SLOT_CONTROL, 0x01f9)],
  ['clears the command', (port) => port.set(SLOT_STATUS, 0x10)],
  ['is asked for the card', (port) => port.unplug()],
  ['takes note', (port) => port.set(SLOT_STATUS, 1)],
  ['lets the indicator blink', (port) => port.set(SLOT_CONTROL, 0x02f9)],
  ['takes power', (port) => port.set(SLOT_CONTROL, 0x06f9)],
  ['puts the indicator out', (port) => port.set(SLOT_CONTROL, 0x07f9)],
  ['clears all', clear],
]

test.runIf(available).each([
  { occupied: false, isAsked: true },
  { occupied: true, isAsked: true },
  { occupied: true, isAsked: false },
])(
  `slot registers, read after each step, are those of QEMU's port; a card from power-on: $occupied, asked for: $isAsked${note}`,
  { timeout: 60_000 },
  async ({ occupied, isAsked }) => {
    const qemu = await QemuPort.start(...(occupied ? ['virtio-rng-pci,bus=rp1,id=card'] : []))
    try {
      const ports = [ours(occupied), theirs(qemu)] as const
      const [own, other] = [await ports[0].capabilities(), await ports[1].capabilities()]
      expect(own).toBe(other)
      const read = async (name: string, port: Port): Promise<readonly [string, Found]> => [name, await port.found()]
      const [mine, its] = [[await read('power-on', ports[0])], [await read('power-on', ports[1])]]
      const steps = STEPS.filter(([name], i) => (isAsked || !name.startsWith('is asked')) && !(occupied && i < 7))
      for (const [name, step] of steps) {
        for (const port of ports) await step(port)
        mine.push(await read(name, ports[0]))
        its.push(await read(name, ports[1]))
      }
      expect(mine).toEqual(its)
    } finally {
      await qemu.stop()
    }
  },
)
