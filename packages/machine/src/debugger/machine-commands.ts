import type { Domain, FrameUser, InvalidationAccount } from '@retrap/hvm'
import { PAGE_BYTES } from '@retrap/memory'
import { P2M_EXECUTE, P2M_READ, P2M_WRITE, P2mEntry } from '@retrap/p2m'
import { hex, type MonitorCommand, parseAddress } from './monitor.ts'

/** Commands of all machines: `devices`, `p2m`, `reset`. @param types - names and numbers of the types of frames */
export function machineCommands(domain: Domain, types: Readonly<Record<string, number>>): readonly MonitorCommand[] {
  return [
    {
      usage: 'devices',
      help: 'device models of this process',
      run: () => `${[...domain.devices.models()].map(({ name }) => name).join('\n')}\n`,
    },
    {
      usage: 'p2m ADDRESS',
      help: "the guest's map at a guest-physical address, and who has it mapped",
      run: (_cpu, [text]) => describeFrame(domain, types, parseAddress(text)),
    },
    {
      usage: 'reset',
      help: 'reset the machine',
      run: () => {
        domain.stop({ reason: 'reset' })
        return 'The machine is reset when it goes on.\n'
      },
    },
  ]
}

/**
 * Describes a guest-physical address: its entry in the guest's map, the device models that know or hold it, and the
 * outstanding changes of the map.
 *
 * @param types - names and numbers of the types of frames
 * @param address - address from the command; undefined: none given
 * @returns whole lines
 */
function describeFrame(domain: Domain, types: Readonly<Record<string, number>>, address: bigint | undefined): string {
  if (address === undefined || address >= 1n << 52n) return 'write p2m ADDRESS\n'
  const gfn = Number(address >> 12n)
  const entry = new P2mEntry()
  const type = domain.p2m.lookup(gfn, entry)
  const name = Object.entries(types).find(([, value]) => value === type)?.[0] ?? `${type}`
  const ma = domain.secondLevel.peek(Number(address))
  const leaf = `${describeSize(PAGE_BYTES * 2 ** entry.order)}, ${describeRights(entry.rights)}`
  const users = domain.mappings.usersOf(gfn).map((user) => describeUser(user, Math.floor(ma / PAGE_BYTES)))
  return (
    `${hex(address)}: ${name}, ${leaf}${ma < 0 ? '' : `, machine address ${hex(ma)}`}\n` +
    (users.length === 0 ? '  no device model of this process has it mapped\n' : users.join('')) +
    describeEpochs(domain.invalidations.account())
  )
}

const describeRights = (rights: number): string =>
  [[P2M_READ, 'read'] as const, [P2M_WRITE, 'write'] as const, [P2M_EXECUTE, 'execute'] as const]
    .filter(([bit]) => (rights & bit) !== 0)
    .map(([, word]) => word)
    .join(' ') || 'no rights'

const UNITS = ['KiB', 'MiB', 'GiB'] as const

/** Bytes, a power of two from 4 KiB up, as a leaf's size. */
function describeSize(bytes: number): string {
  const unit = Math.min(Math.floor(Math.log2(bytes) / 10) - 1, UNITS.length - 1)
  return `leaf of ${bytes / 1024 ** (unit + 1)} ${UNITS[unit]}`
}

function describeUser({ device, mfn, held, heldForWriting }: FrameUser, now: number): string {
  const known = mfn === null ? 'remembers nothing of it' : `remembers machine frame ${hex(mfn)}`
  const old = mfn !== null && mfn !== now ? ', which the map has no more' : ''
  const writing = heldForWriting === 0 ? '' : `, ${heldForWriting} for writing`
  return `  ${device} ${known}${old}; ${held === 1 ? '1 mapping' : `${held} mappings`} held${writing}\n`
}

/** Describes pending changes of the map, and the servers that have not acknowledged them. */
function describeEpochs({ epoch, settledEpoch, servers, outstanding, waitingVcpus }: InvalidationAccount): string {
  const awaited = servers.filter(({ isAwaited }) => isAwaited)
  if (awaited.length === 0 && waitingVcpus.length === 0)
    return `  epoch ${epoch}: every server has acknowledged (${servers.map(({ name }) => name).join(', ') || 'there is none'})\n`
  let lines = `  epoch ${epoch}, acknowledged by all up to ${settledEpoch}\n`
  for (const { name, acknowledged } of awaited) lines += `  ${name} has acknowledged up to ${acknowledged}\n`
  for (const { epoch: of, gfn, count, mfn, writesOnly } of outstanding) {
    const what = writesOnly ? 'not written any more' : `left machine frame ${hex(mfn)}`
    lines += `  epoch ${of}: guest frames ${hex(gfn)} to ${hex(gfn + count - 1)}, ${what}\n`
  }
  return waitingVcpus.length === 0 ? lines : `${lines}  held back until then: CPU ${waitingVcpus.join(', CPU ')}\n`
}
