// Linux, by `pciehp` and `acpiphp`, has disks and network cards plugged in and taken out while it writes to them, on all boards. All
// virtio disks and half of the others are asked for, the rest are pulled. What a flush has made last is on the medium afterwards, and
// nothing reaches a medium once its device is out. Time of the machines is deterministic: nobody waits for the five seconds in which
// Linux lets people change their mind.
//
// npm run -s bench -- plug-storm [--board pc|q35|virt] [--rounds N] [--seed N] [--print]
import { parseArgs } from 'node:util'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createPc, type MachinePluggable } from '@retrap/machine'
import { createArmMachine } from '@retrap/machine/arm'
import { UserNetwork } from '@retrap/network'
import { numbers } from '@retrap/tooling/random'
import { nodeSockets } from '@retrap/network/node'
import { armLinux, BEHIND_PORTS, type DiskLinux, linuxWith } from '../test/support/disk-linux.ts'
import { CALM, FaultyDisk } from '../test/support/faulty-disk.ts'
import { FIRST_PROCESS } from '../test/support/first-process.ts'

const DEADLINE_MS = 900_000
/** Of 500 rounds, on a host that has much else to do. */
const STORM_MS = 3_600_000
const BYTES = 1 << 20
const PORTS = ['rp1', 'rp2', 'rp3', 'rp4']

/**
 * The first process: writes each disk that comes and says what a flush has made last there, then writes on beside that until the
 * disk goes; gives each network card an address, and has the host answer it.
 */
const AUTO = `${FIRST_PROCESS}mount -t tmpfs tmpfs /tmp
dmesg -n 4
/drivers
disk() {
  t=$(dd if=/dev/$2 bs=512 count=1 2>/dev/null | head -c 8)
  dd if=/dev/urandom of=/tmp/$t bs=64k count=4 2>/dev/null
  dd if=/tmp/$t of=/dev/$2 bs=64k seek=1 conv=fsync 2>/dev/null && echo "HAS $t $(sha256sum < /tmp/$t)"
  while [ "$(readlink $1)" = "$3" ]; do dd if=/tmp/$t of=/dev/$2 bs=64k seek=8 conv=fsync 2>/dev/null; sleep 0.2; done
  rm /tmp/$t $4
  echo "GONE $t"
}
card() {
  t=$(cat $1/address)
  ip addr add 10.0.2.15/24 dev $2
  ip link set $2 up
  until ping -c 1 -W 2 -I $2 10.0.2.2 > /dev/null || ! [ -e $1 ]; do :; done
  echo "HAS $t ping"
  while [ "$(readlink $1)" = "$3" ]; do sleep 0.5; done
  rm $4
  echo "GONE $t"
}
echo READY
while true; do
  for p in /sys/block/vd* /sys/block/nvme*n1 /sys/class/net/eth*; do
    # A pattern that nothing matched stays one.
    l=$(readlink "$p") || continue
    m=/tmp/on-$(echo $l | tr / .)
    [ -e $m ] && continue
    : > $m
    case $p in */net/*) card $p \${p##*/} $l $m & ;; *) disk $p \${p##*/} $l $m & ;; esac
  done
  sleep 0.3
done
`

const BOARDS = ['pc', 'q35', 'virt'] as const
type Board = (typeof BOARDS)[number]
const DRIVERS = ['nvme', 'virtio_pci', 'virtio_blk', 'e1000']
const OF_DISKS = './lib/modules/*/kernel/drivers/block/*'

/** @param args - see the head of this file */
export async function run(args: readonly string[]): Promise<void> {
  const text = { type: 'string' } as const
  const options = { board: text, rounds: text, seed: text, print: { type: 'boolean' } } as const
  const { values } = parseArgs({ args: [...args], options })
  const seed = Number(values.seed ?? Date.now() % 1e6)
  for (const board of BOARDS) {
    if (values.board !== undefined && values.board !== board) continue
    const begun = performance.now()
    const rounds = Number(values.rounds ?? 500)
    const came = await plugStorm(board, rounds, numbers(seed), values.print === true)
    const seconds = ((performance.now() - begun) / 1000).toFixed(0)
    console.log(`plug-storm-${board}: ${came} devices came and went, nothing was lost (seed ${seed}; ${seconds} s)`)
  }
}

/**
 * Plugs devices into the root ports of a board with Linux, and takes them out.
 *
 * @param below - draws a number below a bound
 * @returns a count of devices by kind
 * @throws Error for what was lost
 */
async function plugStorm(
  board: Board,
  rounds: number,
  below: (bound: number) => number,
  prints: boolean,
): Promise<string> {
  const linux: DiskLinux | undefined =
    board === 'virt'
      ? await armLinux(DRIVERS, AUTO)
      : await linuxWith(DRIVERS, AUTO, { ...BEHIND_PORTS, members: [...BEHIND_PORTS.members, OF_DISKS] })
  if (linux === undefined) throw new Error("there is no apt to fetch Debian's kernel with")
  const { kernelPath, initrd } = linux
  const counts = new Map<string, number>()
  const options = {
    ...{ memoryBytes: 256 << 20, jit: true, clock: 'deterministic' as const },
    ...{ kernel: new Uint8Array(readFileSync(kernelPath)), initrd, rootPorts: PORTS.map((id) => ({ id })) },
    commandLine: `console=${board === 'virt' ? 'ttyAMA0' : 'ttyS0'} quiet cryptomgr.notests rdinit=/auto`,
  }
  const machine = await (board === 'virt' ? createArmMachine(options) : createPc({ ...options, machine: board }))
  let text = ''
  let failure: string | undefined
  const fail = (how: string): void => {
    failure ??= how
    machine.domain.stop({ reason: 'stopped' })
  }
  const waiting = new Map<string, (rest: string) => void>()
  /** Waits for a line of the guest's. */
  const line = (start: string): Promise<string> => new Promise((resolve) => waiting.set(start, resolve))
  machine.serial.onTransmit((bytes) => {
    text += String.fromCharCode(...bytes)
    if (prints) process.stdout.write(bytes)
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n')) {
      const said = text.slice(0, end).trim()
      text = text.slice(end + 1)
      if (/Internal error|BUG:|Call trace|Call Trace/.test(said)) fail(`the kernel says: ${said}`)
      for (const [start, resolve] of waiting)
        if (said.startsWith(start) && waiting.delete(start)) resolve(said.slice(start.length).trim())
    }
  })
  const turn = async (port: string, round: number): Promise<string | undefined> => {
    const kind = ['virtio', 'nvme', 'card'][below(3)]!
    const disk = new FaultyDisk(BYTES, round)
    disk.faults = { ...CALM, late: 200, lateMs: 20 }
    // Linux 6.1 waits for ever in virtblk_remove for what a virtio disk had in flight when it was pulled, and holds all hot plug up.
    const isPulled = below(2) === 0 && kind !== 'virtio'
    const tag =
      kind === 'card' ? `52:54:00:00:00:${(16 + round).toString(16).slice(-2)}` : `R${String(round).padStart(7, '0')}`
    await disk.write(0, new TextEncoder().encode(tag))
    const plugged: MachinePluggable =
      kind === 'card'
        ? {
            networkCard: {
              model: 'e1000',
              network: await UserNetwork.open({ sockets: nodeSockets() }),
              macAddress: Uint8Array.from(tag.split(':'), (byte) => parseInt(byte, 16)),
              port,
            },
          }
        : kind === 'nvme'
          ? { drive: { medium: disk, interface: 'nvme', nvme: { port } } }
          : { drive: { medium: disk, interface: 'virtio', virtio: { port } } }
    const [has, gone] = [line(`HAS ${tag}`), line(`GONE ${tag}`)]
    await machine.plug(plugged)
    const sum = await has
    await new Promise((resolve) => setTimeout(resolve, below(200)))
    await machine.unplug(port, { force: isPulled, deadlineMs: DEADLINE_MS })
    const { requests } = disk
    await gone
    const how = `${tag}, ${kind} at ${port}, ${isPulled ? 'pulled' : 'given up'}`
    if (disk.requests !== requests) return `${how}: ${disk.requests - requests} requests after it was out`
    const kept = createHash('sha256')
      .update(disk.durable.subarray(65536, 65536 + 4 * 65536))
      .digest('hex')
    if (kind !== 'card' && !sum.startsWith(kept)) return `${how}: it holds ${kept}, and not ${sum}`
    const name = `${kind} ${isPulled ? 'pulled' : 'given up'}`
    counts.set(name, (counts.get(name) ?? 0) + 1)
    return undefined
  }
  const storm = async (): Promise<void> => {
    await line('READY')
    let round = 0
    const turns = PORTS.map(async (port) => {
      while (round < rounds && failure === undefined) {
        const how = await turn(port, round++)
        if (how !== undefined) fail(how)
      }
    })
    await Promise.all(turns)
    machine.domain.stop({ reason: 'stopped' })
  }
  storm().catch((error: unknown) => fail(String(error)))
  const { reason } = await machine.run({ timeoutMs: STORM_MS })
  machine.close()
  if (reason !== 'stopped') failure ??= `the machine ended with ${reason}; awaited: ${[...waiting.keys()].join(', ')}`
  if (failure !== undefined) throw new Error(`${board}: ${failure}`)
  return [...counts].map(([name, count]) => `${count} ${name}`).join(', ')
}
