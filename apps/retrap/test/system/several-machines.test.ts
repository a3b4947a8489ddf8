import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { MemoryStorage, RawImage } from '@retrap/block'
import { createPc, type PcOptions } from '@retrap/machine'
import { Hub } from '@retrap/network'
import { skipNote } from '@retrap/tooling/skip'
import { expect, test } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { TO_DEVICES } from '../support/first-process.ts'
import { TEST_JIT } from '../support/processes.ts'

const DEADLINE_MS = 280_000
const BYTES = 1_000_000

/** The first process of `rdinit=/auto me=1|2 peer=2|1`: sends what its disk holds to the other one, and writes what comes from there. */
const AUTO = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
/drivers
ip link set eth0 up
ip addr add 10.0.0.$me/24 dev eth0
# An input that neither ends nor gives anything: at its end nc would say so to the other side.
mkfifo /tmp/nothing
exec 3<>/tmp/nothing
nc -l -p 7 <&3 > /tmp/come &
until head -c ${BYTES} /dev/vda | nc -w 30 10.0.0.$peer 7 2>/dev/null; do sleep 0.2; done
wait
echo "came $(sha256sum < /tmp/come)"
dd if=/tmp/come of=/dev/vda bs=1000 conv=fsync 2>/dev/null
echo DONE
poweroff -f
`

const linux = await linuxWith(['virtio_pci', 'virtio_blk', 'virtio_net'], AUTO)
const note = skipNote(linux !== undefined, 'there is no apt')

test.skipIf(linux === undefined)(
  `two machines of one process exchange what their disks hold over a hub${note}`,
  async () => {
    const hub = new Hub()
    const disks = [3, 5].map((factor) => Uint8Array.from({ length: 1 << 20 }, (_, i) => (factor * i) ^ (i >> 7)))
    const sums = disks.map((disk) => createHash('sha256').update(disk.subarray(0, BYTES)).digest('hex'))
    const machine = async (index: number): Promise<string> => {
      const options: PcOptions = {
        memoryBytes: 256 << 20,
        kernel: new Uint8Array(readFileSync(linux!.kernelPath)),
        initrd: linux!.initrd.slice(),
        commandLine: `${TO_DEVICES} rdinit=/auto me=${index + 1} peer=${2 - index}`,
        jit: index === 0 || TEST_JIT,
        drives: [{ medium: new RawImage(new MemoryStorage(disks[index]!)), interface: 'virtio' }],
        virtio: [{ kind: 'net', network: hub.port(), macAddress: Uint8Array.of(0x52, 0x54, 0, 0, 0, index + 1) }],
      }
      const pc = await createPc(options)
      let printed = ''
      pc.serial.onTransmit((bytes) => (printed += Buffer.from(bytes).toString('latin1')))
      expect(await pc.run({ timeoutMs: DEADLINE_MS }), printed).toMatchObject({ reason: 'power-off' })
      pc.close()
      return printed
    }
    const printed = await Promise.all([machine(0), machine(1)])
    for (const [index, text] of printed.entries()) {
      expect(text).toContain(`came ${sums[1 - index]}`)
      expect(createHash('sha256').update(disks[index]!.subarray(0, BYTES)).digest('hex')).toBe(sums[1 - index])
    }
  },
  DEADLINE_MS,
)
