// Linux's network drivers on cables that lose, double, delay and refuse frames, and are pulled for a while: what the guest
// fetches and sends arrives whole, a connection that the host tears ends with an error, and no queue hangs.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { createPc } from '@retrap/machine'
import { UserNetwork } from '@retrap/network'
import { nodeSockets } from '@retrap/network/node'
import type { Soak } from '@retrap/tooling/soak'
import { ADAPTERS, linuxWith, type DiskLinux } from '../support/disk-linux.ts'
import { FaultyCable, type CableFaults } from '../support/faulty-cable.ts'
import { FIRST_PROCESS } from '../support/first-process.ts'
import { TEST_JIT } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 240_000
const BYTES = 600_000

/** The first process of `rdinit=/auto whole=PORT torn=PORT sink=PORT`. */
const AUTO = `${FIRST_PROCESS}mount -t tmpfs tmpfs /tmp
/drivers
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
for i in 1 2 3; do
  echo "get $(nc 10.0.2.2 $whole < /dev/null | sha256sum)"
done
nc 10.0.2.2 $torn < /dev/null > /tmp/torn
echo "torn $(stat -c %s /tmp/torn)"
dd if=/dev/urandom of=/tmp/up bs=1000 count=600 2>/dev/null
echo "put $(sha256sum < /tmp/up)"
nc 10.0.2.2 $sink < /tmp/up > /dev/null
dmesg | grep -iE 'watchdog: eth|timed out|hung|BUG:|WARNING:|Call Trace' | sed 's/^/KERNEL /'
echo "carrier $(cat /sys/class/net/eth0/carrier)"
echo DONE
poweroff -f
`

const CARDS = ['virtio', 'e1000'] as const
const systems: Partial<Record<(typeof CARDS)[number], DiskLinux>> = {}
const totals = { frames: 0, faulted: 0, bytes: 0 }

/** A server on the host's loopback. A client that goes away is no fault of ours. */
async function serve(serveOne: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => {})
    serveOne(socket)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

export const soak: Soak = {
  name: 'net-faults',
  count: 10,
  async setup() {
    const common = await linuxWith(['virtio_pci', 'virtio_net'], AUTO)
    const full = await linuxWith(['e1000'], AUTO, ADAPTERS)
    if (common === undefined || full === undefined) throw new Error('there is no apt to fetch Debian with')
    systems.virtio = common
    systems.e1000 = full
  },
  async step(rng, index) {
    const card = CARDS[index % CARDS.length]!
    const linux = systems[card]!
    rng.note('card', card)
    const faults: CableFaults = {
      lost: rng.pick([0, 5, 30]),
      twice: rng.pick([0, 10, 50]),
      late: rng.pick([0, 20, 200]),
      lateMs: rng.pick([5, 50]),
      refused: rng.pick([0, 20, 200]),
      pulledAfter: rng.pick([Infinity, 300]),
    }
    rng.note('faults', JSON.stringify(faults))
    const data = randomBytes(BYTES)
    const taken: Buffer[] = []
    const whole = await serve((socket) => socket.end(data))
    const torn = await serve((socket) =>
      socket.write(data.subarray(0, 100_000), () => setTimeout(() => socket.resetAndDestroy(), 300)),
    )
    const sink = await serve((socket) => socket.on('data', (bytes) => taken.push(bytes)).on('end', () => socket.end()))
    const network = await UserNetwork.open({ sockets: nodeSockets() })
    const cable = new FaultyCable(network, faults, rng.u32())
    const pc = await createPc({
      memoryBytes: 256 << 20,
      kernel: new Uint8Array(readFileSync(linux.kernelPath)),
      initrd: linux.initrd.slice(),
      commandLine: `console=ttyS0 loglevel=1 rdinit=/auto whole=${whole.port} torn=${torn.port} sink=${sink.port}`,
      jit: TEST_JIT,
      ...(card === 'virtio'
        ? { virtio: [{ kind: 'net', network: cable }] }
        : { networkCards: [{ model: card, network: cable }] }),
    })
    let printed = ''
    pc.serial.onTransmit((bytes) => (printed += Buffer.from(bytes).toString('latin1')))
    const { reason } = await pc.run({ timeoutMs: DEADLINE_MS })
    cable.close()
    pc.close()
    network.close()
    for (const { server } of [whole, torn, sink]) server.close()
    totals.frames += cable.frames
    totals.faulted += cable.faulted
    const sent = Buffer.concat(taken)
    totals.bytes += 3 * data.length + sent.length
    const violations: string[] = []
    if (reason !== 'power-off') violations.push(`it ended with ${reason}`)
    const got = [...printed.matchAll(/^get ([0-9a-f]{64})/gm)].map((match) => match[1])
    if (got.length !== 3 || got.some((sum) => sum !== sha256(data))) violations.push(`fetched ${got.join(', ')}`)
    if (!printed.includes(`put ${sha256(sent)}`)) violations.push(`the host took ${sent.length} bytes of another sum`)
    const tornBytes = Number(/^torn (\d+)/m.exec(printed)?.[1] ?? -1)
    if (!(tornBytes >= 0 && tornBytes <= 100_000)) violations.push(`a torn connection gave ${tornBytes} bytes`)
    violations.push(...(printed.match(/^KERNEL .*$/gm) ?? []))
    if (!/^carrier 1/m.test(printed)) violations.push('the cable stayed pulled')
    if (violations.length > 0) return `${violations.join('\n')}\n${printed.slice(-2000)}`
  },
  summary: () => `${totals.frames} frames, ${totals.faulted} faults, ${(totals.bytes / 1e6).toFixed(1)} MB arrived`,
}
