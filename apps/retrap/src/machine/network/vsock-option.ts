import type { OptionRow } from '../../options/option-table.ts'
import { readPairs, splitPairs, usage } from '../../options/values.ts'

/** A vsock device that the user asked for. */
export interface VsockArgument {
  readonly kind: 'vsock'
  readonly cid: number
  /** Path of the device's Unix socket. */
  readonly uds: string
}

/** The value of `--vsock`. */
export interface VsockFlags {
  readonly vsock?: VsockArgument
}

const VSOCK_KEYS: readonly string[] = ['cid', 'uds']

/** The option for sockets between guest and host. */
export const VSOCK_OPTION: OptionRow = {
  flags: '--vsock <cid=N,uds=PATH>',
  help: 'sockets between guest and host (AF_VSOCK), as Firecracker has them: programs connect to PATH and write "CONNECT PORT"; connections of the guest to port P of CID 2 go to PATH_P',
  parse: parseVsock,
  shape: { short: 'uds', keys: () => VSOCK_KEYS, paths: ['uds'] },
}

/** The device that the option asks for. */
export const listVsock = ({ vsock }: VsockFlags): readonly VsockArgument[] => (vsock === undefined ? [] : [vsock])

/** Reads `--vsock`. @throws CliError `ERR_USAGE` */
export function parseVsock(text: string): VsockArgument {
  const given = readPairs('--vsock', splitPairs(text), VSOCK_KEYS)
  const cid = given.get('cid') ?? ''
  const uds = given.get('uds') ?? ''
  const number = /^\d{1,10}$/.test(cid) ? Number(cid) : 0
  if (number < 3 || number > 0xffff_fffe)
    throw usage(
      `--vsock ${text}: cid=${cid} is not the guest's address; write a number from 3 to 4294967294, such as cid=3`,
    )
  if (uds === '') throw usage(`--vsock ${text} names no socket; write uds=PATH`)
  return { kind: 'vsock', cid: number, uds }
}
