/** Options for data that a guest reads about its machine: files of fw_cfg, SMBIOS tables and the clock at power-on. */
import type { MachineSmbios } from '@retrap/machine'
import { readInput } from '@retrap/linux-guest/host/files'
import type { MachineOptions } from '@retrap/linux-guest/machine/machine-contract'
import type { OptionRow } from '../options/option-table.ts'
import { readPairs, splitPairs, usage } from '../options/values.ts'

/** A file of fw_cfg that the user named. */
export type FwCfgArgument = { readonly name: string } & ({ readonly file: string } | { readonly text: string })

export interface IdentityFlags {
  readonly fwCfg?: readonly FwCfgArgument[]
  readonly smbios?: readonly MachineSmbios[]
  /** Seconds from 1970, or the host's local time as if it were UTC. */
  readonly rtc?: number | 'localtime'
}

const SYSTEM_KEYS = ['uuid', 'manufacturer', 'product', 'version', 'serial', 'sku', 'family'] as const

/** The options, with QEMU's names. */
export const IDENTITY_OPTIONS: readonly OptionRow[] = [
  {
    flags: '--fw-cfg <name=NAME,file=FILE>',
    help: 'a file that the guest reads by fw_cfg: name=opt/org.example/NAME, and file=FILE or string=TEXT (repeatable)',
    each: parseFwCfg,
  },
  {
    flags: '--smbios <type=1,key=value>',
    help: `what the SMBIOS tables say: type=1 with ${SYSTEM_KEYS.join(', ')}; type=11 with value=TEXT, such as a credential of systemd (repeatable)`,
    each: parseSmbios,
  },
  {
    flags: '--rtc <base>',
    help: 'the clock at power-on: utc, localtime, or a date such as 2026-01-31T12:00:00 (default: utc; of --deterministic 2026-01-01)',
    parse: parseRtc,
  },
]

function parseFwCfg(text: string): FwCfgArgument {
  const given = readPairs(`--fw-cfg ${text}`, splitPairs(text), ['name', 'file', 'string'])
  const [name = '', file, string] = ['name', 'file', 'string'].map((key) => given.get(key))
  if (!/^[!-~]{1,55}$/.test(name))
    throw usage(`--fw-cfg '${text}': its name has 1 to 55 ASCII characters; write name=opt/org.example/NAME`)
  if ((file === undefined) === (string === undefined))
    throw usage(`--fw-cfg '${text}': write either file=FILE or string=TEXT`)
  return file === undefined ? { name, text: string! } : { name, file }
}

function parseSmbios(text: string): MachineSmbios {
  const type = /(?:^|,)type=(\d+)/.exec(text)?.[1]
  if (type === '11') {
    const words = splitPairs(text).filter((word) => word !== 'type=11')
    const other = words.find((word) => !word.startsWith('value='))
    if (other !== undefined) throw usage(`--smbios ${text} has no '${other}'; it has value=TEXT`)
    return { strings: words.map((word) => word.slice('value='.length)) }
  }
  if (type !== '1') throw usage(`--smbios '${text}': there are type=1 (the system) and type=11 (texts)`)
  const { type: _, ...system } = Object.fromEntries(
    readPairs(`--smbios ${text}`, splitPairs(text), ['type', ...SYSTEM_KEYS]),
  )
  return system
}

function parseRtc(text: string): number | 'localtime' | undefined {
  if (text === 'utc') return undefined
  if (text === 'localtime') return text
  const seconds = Date.parse(`${text}${text.includes('T') ? 'Z' : 'T00:00:00Z'}`) / 1000
  if (!(seconds >= 0)) throw usage(`--rtc '${text}': write utc, localtime or a date such as 2026-01-31T12:00:00`)
  return seconds
}

/** Reads the files that the options name, for a machine. @throws CliError `ERR_INPUT` for a file that cannot be read */
export async function identityOf({
  fwCfg = [],
  smbios = [],
  rtc,
}: IdentityFlags): Promise<Pick<MachineOptions, 'fwCfgFiles' | 'smbios' | 'epochSeconds'>> {
  const files = await Promise.all(
    fwCfg.map(async (one) => {
      const bytes =
        'file' in one ? await readInput(`--fw-cfg ${one.file}`, one.file) : new TextEncoder().encode(one.text)
      return [one.name, bytes] as const
    }),
  )
  const now = Math.floor(Date.now() / 1000) - 60 * new Date().getTimezoneOffset()
  const strings = smbios.flatMap((one) => one.strings ?? [])
  return {
    ...(files.length > 0 && { fwCfgFiles: Object.fromEntries(files) }),
    ...(smbios.length > 0 && { smbios: { ...Object.assign({}, ...smbios), ...(strings.length > 0 && { strings }) } }),
    ...(rtc !== undefined && { epochSeconds: rtc === 'localtime' ? now : rtc }),
  }
}
