import { defined } from '@retrap/basics'
import { writeFile } from 'node:fs/promises'
import type { ArmDeviceNode } from '@retrap/machine/arm'
import type { Command } from 'commander'
import type { DriveArgument } from '../machine/drives/drives.ts'
import type { CliError } from '@retrap/linux-guest/errors'
import { checkTarget } from '@retrap/linux-guest/host/files'
import type { CreateMachine } from '@retrap/linux-guest/machine/machine-contract'
import { tableOptions } from '../options/option-table.ts'
import { parseWhole, splitPairs, usage } from '../options/values.ts'
import { type ImageFlags, readImages } from './images.ts'

/** The values of --machine for an Arm machine. */
export const ARM_BOARDS: readonly string[] = ['virt', 'virt,gic-version=2', 'virt,gic-version=3']

/** The version of the interrupt controller of an Arm board; undefined of a PC. */
export function gicOf(machine: string): 2 | 3 | undefined {
  if (!ARM_BOARDS.includes(machine)) return undefined
  return machine.endsWith('=2') ? 2 : 3
}

/** Refuses options that are a PC's. @throws CliError `ERR_USAGE` */
export function checkArmFlags(command: Command): void {
  for (const option of tableOptions(command)) {
    const name = option.attributeName()
    const isGiven = ![undefined, 'default'].includes(command.getOptionValueSource(name))
    const { pcOnly } = option.row
    if (isGiven && pcOnly !== undefined) throw usage(`${option.long ?? name} is not there for --arch arm64; ${pcOnly}`)
    if (isGiven && name === 'machine' && gicOf(String(command.getOptionValue(name))) === undefined) {
      throw usage(`--machine ${command.getOptionValue(name)} is a PC; --arch arm64 has --machine virt`)
    }
  }
}

const NODE_FORM = 'compatible=NAME,reg=FIRST-LAST,spi=NUMBER'

/** Reads `--device-node`. @throws CliError `ERR_USAGE` */
export function parseDeviceNode(text: string): ArmDeviceNode {
  const bad = (why: string): CliError => usage(`--device-node '${text}': ${why}; give ${NODE_FORM}`)
  const compatible: string[] = []
  let [first, last, spi]: (number | undefined)[] = []
  for (const pair of splitPairs(text)) {
    const [key = '', value = ''] = pair.split(/=(.*)/s)
    if (key === 'compatible') compatible.push(value)
    else if (key === 'reg') [first, last] = value.split('-').map(parseWhole)
    else if (key === 'spi') spi = parseWhole(value) ?? Number.NaN
    else throw bad(`'${pair}' is no property of a node`)
  }
  if (compatible.length === 0) throw bad('it has no compatible=NAME, in which a comma is written twice')
  if (first === undefined || last === undefined || last < first) throw bad('it has no reg=FIRST-LAST')
  return { compatible, base: first, bytes: last - first + 1, ...(spi !== undefined && { spi }) }
}

/** Options that a device tree depends on, beside the kernel's. */
interface TreeFlags extends ImageFlags {
  readonly dumpdtb?: string
  readonly memory: number
  readonly cpus: number
  readonly machine: string
  readonly hypervisor?: 'none' | 'xen'
  readonly deviceNode?: readonly ArmDeviceNode[]
}

/**
 * Writes the device tree that a guest of these options would find, as QEMU's `-machine dumpdtb=FILE` does. It may be without
 * a kernel.
 *
 * @returns whether the option was given
 * @throws CliError
 */
export async function dumpDeviceTree(flags: TreeFlags, create: CreateMachine): Promise<boolean> {
  const { dumpdtb, memory, cpus, machine: board, hypervisor, arch, deviceNode } = flags
  if (dumpdtb === undefined) return false
  if (arch !== 'arm64') throw usage('--dumpdtb: a PC has no device tree; give --arch arm64')
  await checkTarget('--dumpdtb', dumpdtb)
  const gic = gicOf(board)
  const images = await readImages(flags)
  // Without a kernel the board gets an empty flash.
  const firmware = images.kernel === undefined ? new Uint8Array(4096) : undefined
  const machine = await create({
    ...{ architecture: 'arm64', memoryBytes: memory, cpus, clock: 'real', devices: [], deviceServers: [] },
    ...defined({ gic, hypervisor, deviceNodes: deviceNode, firmware }),
    ...images,
  })
  try {
    await writeFile(dumpdtb, machine.deviceTree ?? new Uint8Array(0))
  } finally {
    machine.close?.()
  }
  return true
}

/** Refuses disks with nothing that starts them: SeaBIOS is a PC's. @throws CliError `ERR_USAGE` */
export function checkArmImages(flags: ImageFlags, drives: readonly DriveArgument[]): void {
  const starts = flags.kernel ?? flags.firmware ?? drives.find(({ flash }) => flash !== undefined)
  if (starts === undefined)
    throw usage('nothing that starts an Arm machine; give --kernel FILE, or UEFI firmware with --firmware FILE')
}
