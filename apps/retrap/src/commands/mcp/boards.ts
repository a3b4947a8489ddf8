import { randomInt } from 'node:crypto'
import { GuestStream } from '@retrap/guest'
import { createPc, type Pc, type MachineForks, type PcOptions, type MachineVirtioDevice } from '@retrap/machine'
import type { ArmMachine, ArmMachineOptions } from '@retrap/machine/arm'
import { Hub } from '@retrap/network'
import { loadInterpreters } from '../../machine/interpreters.ts'
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
}

/** Which serial port of a PC the agent is at. */
const AGENT_PORT = 1

/** Returns options for a fork: its guest's random numbers must differ. */
export const newGeneration = (): Pick<PcOptions, 'generation'> => ({ generation: { after: randomInt(2 ** 32) } })

/** Makes a machine. @throws as `createPc`, `createArmMachine` */
export async function makeBoard(given: BoardOptions, forks: MachineForks): Promise<MadeBoard> {
  if (given.kind === 'pc') {
    await loadInterpreters('x86')
    return pcBoard(await createPc({ ...given.options, forks }))
  }
  const { options } = given
  const [{ createArmMachine }] = await Promise.all([import('@retrap/machine/arm'), loadInterpreters('arm64')])
  const stream = new GuestStream()
  const { virtio = [] } = options
  const machine = await createArmMachine({ ...options, virtio: [agentConsole(stream), ...virtio], forks })
  return armBoard(machine, stream, virtio)
}

/** Wraps a PC, whose agent uses its second serial port. */
export function pcBoard(pc: Pc): Omit<MadeBoard, 'machine'> & { readonly machine: Pc } {
  const port = pc.serialPorts[AGENT_PORT]
  return {
    machine: pc,
    agent: port && { port, device: `/dev/ttyS${AGENT_PORT}` },
    fork: async (deadlineMs) => pcBoard(await pc.fork({ deadlineMs, ...newGeneration() })),
  }
}

/** An Arm board has one serial port, its console: its agent is at a port of a virtio console. */
function armBoard(machine: ArmMachine, stream: GuestStream, virtio: readonly MachineVirtioDevice[]): MadeBoard {
  return {
    machine,
    agent: { port: stream, device: ARM_AGENT_DEVICE },
    async fork(deadlineMs) {
      const own = new GuestStream()
      const cards = virtio.map((device) => (device.kind === 'net' ? { ...device, network: new Hub().port() } : device))
      const fork = await machine.fork({ deadlineMs, virtio: [agentConsole(own), ...cards], ...newGeneration() })
      return armBoard(fork, own, cards)
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
