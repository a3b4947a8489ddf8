import { Command } from 'commander'
import { z } from 'zod'
import { checkArmFlags, gicOf } from '../../flags/arm-options.ts'
import type { ImageFlags } from '../../flags/images.ts'
import type { MachineFlags } from '../../flags/machine-options.ts'
import { systemOptions } from '../../flags/machine-table.ts'
import { applyMachine, fileOptions } from '../../flags/machine-file/machine-file.ts'
import type { NamedFolders } from './folders.ts'

/**
 * Arguments that are options of `retrap run`, and the options' names. The table of options describes one that is named here and
 * reads its value, and the machine has it.
 */
const OPTIONS = {
  kernel: 'kernel',
  initrd: 'initrd',
  append: 'append',
  firmware: 'firmware',
  cdrom: 'cdrom',
  memory: 'memory',
  cpus: 'cpus',
  board: 'machine',
} as const
type OptionArgument = keyof typeof OPTIONS

/** The request of the tool `boot`, without arguments of the run. */
export interface BootRequest extends Readonly<Partial<Record<OptionArgument, string | number | undefined>>> {
  readonly system: 'debian' | 'embedded' | 'files'
  readonly disks?: readonly string[] | undefined
  readonly display?: 'none' | 'std' | 'ramfb' | undefined
  readonly nic?: string | undefined
  readonly addAgent?: boolean | undefined
}

const TEXT = z.string().max(4096)
const TABLE = fileOptions(systemOptions(new Command()))

const fromTable = Object.fromEntries<z.ZodType<string | number | undefined>>(
  Object.entries(OPTIONS).map(([name, option]) => {
    const { help, choices, isFile } = TABLE.get(option)!.row
    // A count is a number. Machines for a model are small.
    const type = option === 'cpus' ? z.int().min(1).max(8) : choices ? z.enum(choices) : TEXT
    return [name, type.optional().describe(isFile === true ? `${help}: a path in a named folder` : help)]
  }),
) as Record<OptionArgument, z.ZodType<string | number | undefined>>

/** Arguments of `boot` that make a {@link BootRequest}. */
export const BOOT_ARGUMENTS: { readonly [Name in keyof BootRequest]-?: z.ZodType<BootRequest[Name]> } = {
  system: z.enum(['debian', 'embedded', 'files']),
  ...fromTable,
  disks: z.array(TEXT.min(1)).max(4).optional().describe('raw or qcow2 images; SeaBIOS boots them'),
  display: z
    .enum(['none', 'std', 'ramfb'])
    .optional()
    .describe('graphics card; default std where disks are booted, ramfb for UEFI of board virt'),
  nic: z
    .string()
    .max(512)
    .optional()
    .describe(
      "network card, as --nic of retrap run: user, or user,restrict=on, also model=e1000, mac=. Without restrict=on the server needs --allow-network. The machine's time is then the host's. Default none",
    ),
  addAgent: z.boolean().optional().describe('puts /retrap-agent.sh into the initrd, for exec'),
}

/** Options from arguments, with defaults for the rest. */
export type BootFlags = MachineFlags & ImageFlags

/** Parses arguments in the form of a machine file's options. @throws ToolError `ERR_PATH`; CliError */
export async function bootFlags(request: BootRequest, folders: NamedFolders): Promise<BootFlags> {
  const given: Record<string, unknown> = {}
  for (const [name, option] of Object.entries(OPTIONS) as [OptionArgument, string][]) {
    const value = request[name]
    if (value !== undefined)
      given[option] = TABLE.get(option)!.row.isFile === true ? await folders.file(name, String(value)) : value
  }
  const command = systemOptions(new Command())
  applyMachine('boot', '', given, command)
  const flags = command.opts<BootFlags>()
  const isArm = gicOf(flags.machine) !== undefined
  if (isArm) checkArmFlags(command)
  return { ...flags, arch: isArm ? 'arm64' : 'amd64', unitCache: 'off', deterministic: true }
}
