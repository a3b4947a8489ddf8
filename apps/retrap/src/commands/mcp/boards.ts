import { randomInt } from 'node:crypto'
import { GuestStream } from '@retrap/guest'
import {
  createPc,
  type MachineForks,
  type MachineVirtioDevice,
  type Pc,
  type PcOptions,
  type PcRecorder,
  recordClone,
  recordPc,
  type RecordPcOptions,
} from '@retrap/machine'
import type { ArmMachine, ArmMachineOptions, ArmRecorder } from '@retrap/machine/arm'
import { Hub } from '@retrap/network'
import { loadInterpreters } from '@retrap/linux-guest/machine/interpreters'
import type { AgentPort } from './agent-link.ts'

/** The options of a machine, by its kind. */
export type BoardOptions =
  | { readonly kind: 'pc'; readonly options: PcOptions }
  | { readonly kind: 'virt'; readonly options: ArmMachineOptions }

/** A machine of either kind. */
export type Board = Pc | ArmMachine

/** A machine after creation or a fork. */
export interface MadeBoard {
  readonly machine: Board
  readonly agent: AgentPort | undefined
  /** Makes a clone, whose network cards have no network. @throws as `Pc.fork` */
  fork(deadlineMs: number): Promise<MadeBoard>
  /** Makes such a clone whose run is recorded. @throws as `recordClone` */
  record(write: WriteRecording): Promise<RecordedBoard>
}

export type WriteRecording = (bytes: Uint8Array) => Promise<void>

/** A machine whose run is recorded. */
export type RecordedBoard = MadeBoard & { readonly recorder: PcRecorder | ArmRecorder }

/** Which serial port of a PC the agent is at. */
const AGENT_PORT = 1

/** Returns options for a fork: its guest's random numbers must differ. */
const newGeneration = (): Pick<PcOptions, 'generation'> => ({ generation: { after: randomInt(2 ** 32) } })

/** Makes a machine. @throws as `createPc`, `createArmMachine` */
export async function makeBoard(given: BoardOptions, forks: MachineForks): Promise<MadeBoard> {
  if (given.kind === 'pc') {
    await loadInterpreters('x86')
    return pcBoard(await createPc({ ...given.options, forks }))
  }
  const { arm, stream, options, cards } = await armParts(given.options)
  return armBoard(await arm.createArmMachine({ ...options, forks }), stream, cards)
}

/** Makes a machine whose run is recorded. @throws as `recordPc`, `recordArmMachine` */
export async function recordBoard(
  given: BoardOptions,
  write: WriteRecording,
  how: RecordPcOptions,
): Promise<RecordedBoard> {
  if (given.kind === 'pc') {
    await loadInterpreters('x86')
    return recordedPc(await recordPc(given.options, write, how))
  }
  const { arm, stream, options, cards } = await armParts(given.options)
  const recorder = await arm.recordArmMachine(options, write, how)
  return { ...armBoard(recorder.machine, stream, cards), recorder }
}

/** The options of an Arm board with a console for the agent, and its cards beside that. */
async function armParts(given: ArmMachineOptions) {
  const [arm] = await Promise.all([import('@retrap/machine/arm'), loadInterpreters('arm64')])
  const stream = new GuestStream()
  const { virtio: cards = [] } = given
  return { arm, stream, cards, options: { ...given, virtio: [agentConsole(stream), ...cards] } }
}

/** Wraps a PC, whose agent uses its second serial port. */
function pcBoard(pc: Pc): MadeBoard {
  const port = pc.serialPorts[AGENT_PORT]
  return {
    machine: pc,
    agent: port && { port, device: `/dev/ttyS${AGENT_PORT}` },
    fork: async (deadlineMs) => pcBoard(await pc.fork({ deadlineMs, ...newGeneration() })),
    record: async (write) => recordedPc(await recordClone(pc, write, {}, newGeneration())),
  }
}

const recordedPc = (recorder: PcRecorder): RecordedBoard => ({ ...pcBoard(recorder.machine), recorder })

/** An Arm board has one serial port, its console: its agent is at a port of a virtio console. */
function armBoard(machine: ArmMachine, stream: GuestStream, virtio: readonly MachineVirtioDevice[]): MadeBoard {
  const ofClone = () => {
    const own = new GuestStream()
    const cards = virtio.map((device) => (device.kind === 'net' ? { ...device, network: new Hub().port() } : device))
    return { own, cards, changes: { virtio: [agentConsole(own), ...cards], ...newGeneration() } }
  }
  return {
    machine,
    agent: { port: stream, device: ARM_AGENT_DEVICE },
    async fork(deadlineMs) {
      const { own, cards, changes } = ofClone()
      return armBoard(await machine.fork({ deadlineMs, ...changes }), own, cards)
    },
    async record(write) {
      const { recordArmClone } = await import('@retrap/machine/arm')
      const { own, cards, changes } = ofClone()
      const recorder = await recordArmClone(machine, write, {}, changes)
      return { ...armBoard(recorder.machine, own, cards), recorder }
    },
  }
}

/** Linux's name for the second port of the first virtio device. */
export const ARM_AGENT_DEVICE = '/dev/vport0p1'

/** The agent's console, in slot 1, which a disk would get otherwise. */
const agentConsole = (stream: GuestStream): MachineVirtioDevice => ({
  kind: 'console',
  slot: 1,
  ports: [{ stream: { send() {} } }, { stream, name: 'org.retrap.guest' }],
})
