/** `retrap walk DUMP ADDRESS…`. */
import { type Command, Option } from 'commander'
import type { AccessOptions, PagingContext } from '@retrap/paging'
import { type ListingOutput, printLines } from '../../print-lines.ts'
import { parseAddress, parseWhole, usage } from '../../options/values.ts'
import { armContextFor, type ArmRegisterFlags, describeArmContext, listArmMappings, listArmWalk } from './arm.ts'
import { MemoryDump } from './dump.ts'
import { listMappings, listWalk } from './listing.ts'
import { contextFor, describeContext, MODES, type RegisterFlags } from './registers.ts'

interface WalkFlags extends RegisterFlags, ArmRegisterFlags {
  readonly arch: 'amd64' | 'arm64'
  readonly all?: boolean
  readonly start?: bigint
  readonly stop?: bigint
  readonly access: 'read' | 'write' | 'fetch'
  readonly user?: boolean
  readonly base?: bigint
  readonly raw?: boolean
  readonly pat?: bigint
}

const EXAMPLES = `
Examples:
  retrap walk memory.img 0xffffffff81000000 --cr3 0x1a2b000
  retrap walk vmcore 0x7ffd12345000 --access write --user
  retrap walk memory.img --all --cr3 0x39c000 --mode pae
  retrap walk memory.img 0xffff800008000000 --arch arm64 --base 0x40000000 --ttbr1 0x41b2c000

The dump is an ELF core file (QEMU's dump-guest-memory, kdump's vmcore), a LiME file, or plain memory. QEMU's has the
CPUs' registers in it. --mode stands for paging as kernels set it up: WP, PSE, PGE and, but for two levels, NXE. Of an Arm
guest (--arch arm64) it is stage 1; without --tcr, 4 KiB pages and 48 bits of address.`

export function addWalk(program: Command, output: ListingOutput): void {
  const register = (name: string): ((text: string) => bigint) => parseAddress(name, 'a value', '0x1000')
  program
    .command('walk')
    .description("Show how a memory dump's page tables translate addresses, level by level")
    .argument('<dump>', "file with a guest's memory")
    .argument('[address...]', 'linear addresses to translate')
    .addOption(new Option('--arch <name>', 'whose tables they are').choices(['amd64', 'arm64']).default('amd64'))
    .option('--all', 'list all mappings')
    .option('--start <address>', 'of these, from here on', parseAddress('--start'))
    .option('--stop <address>', 'of these, before this address', parseAddress('--stop'))
    .option('--cr3 <value>', 'where the tables begin (default: what the dump says)', register('--cr3'))
    .addOption(new Option('--mode <name>', 'paging mode (default: what the dump says, else 4-level)').choices(MODES))
    .option('--cr0 <value>', 'CR0, in place of --mode', register('--cr0'))
    .option('--cr4 <value>', 'CR4, in place of --mode', register('--cr4'))
    .option('--efer <value>', 'IA32_EFER, in place of --mode', register('--efer'))
    .option('--cpu <number>', 'whose registers to take from the dump (default: 0)', parseCpu)
    .option('--ttbr0 <value>', 'TTBR0_EL1, for arm64', register('--ttbr0'))
    .option('--ttbr1 <value>', 'TTBR1_EL1, for arm64', register('--ttbr1'))
    .option('--tcr <value>', 'TCR_EL1, for arm64', register('--tcr'))
    .option('--sctlr <value>', 'SCTLR_EL1, for arm64 (default: the MMU is on)', register('--sctlr'))
    .option('--mair <value>', 'MAIR_EL1, for arm64, to show memory types', register('--mair'))
    .addOption(new Option('--access <kind>', 'what to try').choices(['read', 'write', 'fetch']).default('read'))
    .option('--user', 'try it as CPL 3 does, or EL0')
    .option('--pat <value>', 'IA32_PAT, to show memory types', register('--pat'))
    .option('--physical-bits <count>', 'MAXPHYADDR', parsePhysicalBits, 52)
    .option('--amd', "AMD's rules: PDPTEs are read from memory, bit 8 of a PML4E is reserved")
    .option('--base <address>', 'guest-physical address of the first byte of plain memory', parseAddress('--base'))
    .option('--raw', 'take any file as plain memory')
    .addHelpText('after', EXAMPLES)
    .action(async (path: string, addresses: readonly string[], flags: WalkFlags) => {
      if (addresses.length === 0 && flags.all !== true) throw usage('nothing to show; give addresses, or --all')
      if (flags.all !== true && (flags.start ?? flags.stop) !== undefined) {
        throw usage('--start and --stop are for the list of mappings; give --all too')
      }
      const wanted = addresses.map(parseAddress('ADDRESS'))
      const dump = new MemoryDump(path, baseOf(flags), flags.raw === true)
      try {
        if (flags.base !== undefined && dump.format !== 'plain memory') {
          throw usage(`--base is for plain memory; ${path} is a dump with addresses of its own (--raw ignores them)`)
        }
        const listing =
          flags.arch === 'arm64' ? armLines(dump, wanted, flags) : lines(dump, contextFor(flags, dump), wanted, flags)
        await printLines(listing, output)
      } finally {
        dump.close()
      }
    })
}

function* lines(
  dump: MemoryDump,
  context: PagingContext,
  addresses: readonly bigint[],
  flags: WalkFlags,
): Generator<string, void> {
  yield `${dump.path}: ${dump.format}, ${describeContext(context)}`
  const access: AccessOptions = {
    write: flags.access === 'write',
    fetch: flags.access === 'fetch',
    user: flags.user === true,
  }
  for (const address of addresses) yield* listWalk(context, dump, address, access, flags.pat)
  if (flags.all === true) {
    const { start = 0n, stop = 1n << 64n } = flags
    yield* listMappings(context, dump, flags.pat, { start, stop })
  }
}

/** @throws CliError `ERR_USAGE` for options of the other architecture */
function* armLines(dump: MemoryDump, addresses: readonly bigint[], flags: WalkFlags): Generator<string, void> {
  const { cr0, cr3, cr4, efer, mode, pat, cpu } = flags
  if ([cr0, cr3, cr4, efer, mode, pat, cpu].some((value) => value !== undefined)) {
    throw usage('--cr0, --cr3, --cr4, --efer, --mode, --pat and --cpu are not there for --arch arm64')
  }
  const context = armContextFor(flags)
  yield `${dump.path}: ${dump.format}, ${describeArmContext(context)}`
  const hasAttributes = flags.mair !== undefined
  for (const address of addresses) yield* listArmWalk(context, dump, address, flags, hasAttributes)
  if (flags.all === true) {
    const { start = 0n, stop = 1n << 64n } = flags
    yield* listArmMappings(context, dump, { start, stop }, hasAttributes)
  }
}

function baseOf({ base = 0n }: WalkFlags): number {
  if (base % 8n !== 0n || base >= 1n << 52n) {
    throw usage(`--base 0x${base.toString(16)} is not a multiple of 8 of at most 52 bits`)
  }
  return Number(base)
}

function parsePhysicalBits(text: string): number {
  const count = parseWhole(text)
  if (count === undefined || count < 32 || count > 52) {
    throw usage(`--physical-bits ${text} is not what a processor has; give 32 to 52`)
  }
  return count
}

function parseCpu(text: string): number {
  const number = parseWhole(text)
  if (number === undefined) throw usage(`--cpu '${text}' is not a number of a CPU; they are counted from 0`)
  return number
}
