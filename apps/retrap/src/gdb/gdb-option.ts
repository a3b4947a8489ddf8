import { didYouMean } from '../options/nearest.ts'
import { parseWhole, splitPairs, usage } from '../options/values.ts'

/** Where gdb attaches, as `--gdb` says it. */
export interface GdbOption {
  readonly host: string
  readonly port: number
  /** The machine does not start before gdb says so. */
  readonly wait: boolean
  /** The registers that gdb is told of; those of x86-64 are for guests in all modes. */
  readonly architecture?: 'x86-64' | 'i386'
}

const LOOPBACK = '127.0.0.1'
const ARCHITECTURES = ['x86-64', 'i386'] as const
const EXAMPLE = 'tcp:127.0.0.1:1234,wait'

/** Reads `tcp:[HOST:]PORT[,wait][,arch=x86-64|i386]`. @throws CliError `ERR_USAGE` */
export function parseGdb(text: string): GdbOption {
  const [place = '', ...words] = splitPairs(text)
  const [, host, digits = ''] = /^tcp:(?:(.*):)?(\w+)$/.exec(place) ?? []
  const port = parseWhole(digits)
  if (port === undefined || port > 0xffff) throw usage(`--gdb ${text}: expected a TCP port, as in ${EXAMPLE}`)
  let wait = false
  let architecture: GdbOption['architecture']
  for (const word of words) {
    const arch = ARCHITECTURES.find((name) => word === `arch=${name}`)
    if (word === 'wait') wait = true
    else if (arch !== undefined) architecture = arch
    else {
      const known = ['wait', ...ARCHITECTURES.map((name) => `arch=${name}`)]
      throw usage(`--gdb has no '${word}'; it has ${known.join(', ')}${didYouMean(word, known)}`)
    }
  }
  return {
    host: host === undefined || host === '' ? LOOPBACK : host.replace(/^\[(.*)\]$/, '$1'),
    port,
    wait,
    ...(architecture !== undefined && { architecture }),
  }
}
