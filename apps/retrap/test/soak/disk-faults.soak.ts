// Linux's drivers under load, on disks whose requests fail and are late: by IDE, SATA, virtio, SCSI, NVMe and USB. Three processes of
// the guest write and read a disk past its caches. What a write with a flush has reported as done is durable, a read
// gives what was written or an error, errors reach the guest as such, and once the faults end everything works again.
import { readFileSync } from 'node:fs'
import { createPc, type MachineDrive } from '@retrap/machine'
import type { Rng, Soak } from '@retrap/tooling/soak'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { FIRST_PROCESS } from '../support/first-process.ts'
import { FULL_KERNEL, linuxWith, SATA_DRIVERS, usbLinux, type DiskLinux } from '../support/disk-linux.ts'
import { CALM, FaultyDisk, type Faults } from '../support/faulty-disk.ts'
import { TEST_JIT } from '../support/processes.ts'

const DEADLINE_MS = 240_000
const BLOCK = 4096
/** Each process has such places of the disk to itself. */
const SLOTS = 8
const SLOT_BLOCKS = 16
const JOBS = 3
/** With faults, and then without. */
const OPERATIONS = [60, 12] as const

/**
 * The first process of `rdinit=/auto disk=NAME`: makes what is in `/ops1` to `/ops3`. `w NUMBER SLOT BLOCKS` writes lines of
 * the number, `r` reads what was written there last, `c` waits until the host has ended the faults.
 */
const AUTO = `${FIRST_PROCESS}/drivers
n=0
while [ ! -b /dev/$disk -a $n -lt 100 ]; do sleep 0.1; n=$((n + 1)); done
job() {
  while read op i slot count; do
    case $op in
    w)
      yes $i | head -c $((count * ${BLOCK})) > /p$1
      if dd if=/p$1 of=/dev/$disk bs=$((count * ${BLOCK})) seek=$((slot * ${SLOT_BLOCKS * BLOCK})) oflag=direct,seek_bytes conv=fsync,notrunc 2>/e$1; then
        mv /p$1 /s$slot; echo "W ok $i $slot $count"
      else
        rm -f /s$slot; echo "W bad $i: $(grep -cE 'error|No space left|No data' /e$1)"
      fi;;
    r)
      [ -f /s$slot ] || continue
      size=$(stat -c %s /s$slot)
      if dd if=/dev/$disk of=/q$1 bs=$size count=1 skip=$((slot * ${SLOT_BLOCKS * BLOCK})) iflag=direct,skip_bytes 2>/e$1; then
        if cmp -s /q$1 /s$slot; then echo "R ok $i $slot"; else echo "R differs $i $slot"; fi
      else
        echo "R bad $i: $(grep -cE 'error|No data' /e$1)"
      fi;;
    c) echo "CALM $1"; while [ ! -f /calm ]; do sleep 0.05; done;;
    esac
  done < /ops$1
}
for j in 1 2 3; do job $j & done
while read line; do [ "$line" = calm ] && touch /calm && break; done
wait
dmesg | grep -iE 'time[d ]*out|lost interrupt|hung|BUG:|WARNING:|Call Trace|ata[0-9.]*: disabled|offline|controller is down' | sed 's/^/KERNEL /'
echo DONE
poweroff -f
`

const CONTROLLERS: readonly {
  readonly name: string
  readonly disk: string
  readonly machine: 'pc' | 'q35'
  readonly interface: MachineDrive['interface']
}[] = [
  { name: 'virtio', disk: 'vda', machine: 'pc', interface: 'virtio' },
  { name: 'NVMe', disk: 'nvme0n1', machine: 'pc', interface: 'nvme' },
  { name: 'IDE', disk: 'sda', machine: 'pc', interface: 'ide' },
  { name: 'SATA', disk: 'sda', machine: 'q35', interface: 'ide' },
  { name: 'SCSI', disk: 'sda', machine: 'pc', interface: 'scsi' },
  { name: 'USB', disk: 'sda', machine: 'pc', interface: 'usb' },
]

/** What one process of the guest does. */
function operations(rng: Rng, job: number): string {
  let text = ''
  let number = job * 1000
  for (const [phase, count] of OPERATIONS.entries()) {
    if (phase === 1) text += 'c 0 0 0\n'
    for (let i = 0; i < count; i++) {
      const slot = (job - 1) * SLOTS + rng.below(SLOTS)
      text += `${rng.chance(2, 5) ? 'r' : 'w'} ${++number} ${slot} ${rng.between(1, SLOT_BLOCKS)}\n`
    }
  }
  return text
}

/** Looks at what the guest prints, line by line. */
class Observer {
  readonly violations: string[] = []
  printed = ''
  readonly counts = { written: 0, read: 0, bad: 0 }
  #calm = 0
  #line = ''
  readonly #disk: FaultyDisk
  readonly #onCalm: () => void

  constructor(disk: FaultyDisk, onCalm: () => void) {
    this.#disk = disk
    this.#onCalm = onCalm
  }

  receive(text: string): void {
    this.printed += text
    for (const character of text) {
      if (character !== '\n') this.#line += character
      else {
        this.#look(this.#line.trimEnd())
        this.#line = ''
      }
    }
  }

  #look(line: string): void {
    const [, what = '', ended = '', rest = ''] = /^([WR]) (ok|bad|differs) (.*)$/.exec(line) ?? []
    if (line.startsWith('KERNEL ') || ended === 'differs') this.violations.push(line)
    if (line.startsWith('CALM ') && ++this.#calm === JOBS) this.#onCalm()
    if (ended === 'bad') {
      this.counts.bad++
      if (this.#calm === JOBS) this.violations.push(`without faults: ${line}`)
      if (rest.endsWith(': 0')) this.violations.push(`an error without a word: ${line}`)
    } else if (what === 'R') this.counts.read++
    else if (what === 'W') this.#lookAtWrite(rest)
  }

  /** The guest prints before it goes on: nothing else has been written to that place since. */
  #lookAtWrite(rest: string): void {
    this.counts.written++
    const [number = 0, slot = 0, blocks = 0] = rest.split(' ').map(Number)
    const at = slot * SLOT_BLOCKS * BLOCK
    const found = Buffer.from(this.#disk.durable.buffer, at, blocks * BLOCK)
    if (!found.equals(Buffer.alloc(blocks * BLOCK, `${number}\n`))) this.violations.push(`not durable: W ok ${rest}`)
  }
}

let common: DiskLinux | undefined
/** With the drivers that the common kernel lacks. */
const others: Record<string, DiskLinux | undefined> = {}
const totals = { written: 0, read: 0, bad: 0, failed: 0, requests: 0 }

export const soak: Soak = {
  name: 'disk-faults',
  count: 3 * CONTROLLERS.length,
  async setup() {
    common = await linuxWith(['ata_piix', 'sd_mod', 'virtio_pci', 'virtio_blk', 'virtio_scsi', 'nvme'], AUTO)
    others['SATA'] = await linuxWith(SATA_DRIVERS, AUTO, FULL_KERNEL)
    others['USB'] = await usbLinux(AUTO)
    if (common === undefined || others['SATA'] === undefined || others['USB'] === undefined)
      throw new Error('there is no apt to fetch Debian with')
  },
  async step(rng, index) {
    const { name, disk, machine, interface: kind } = CONTROLLERS[index % CONTROLLERS.length]!
    const linux = others[name] ?? common!
    const faults: Faults = {
      failing: rng.pick([0, 20, 60, 120]),
      code: rng.pick(['ERR_MEDIUM', 'ERR_NO_SPACE']),
      late: rng.pick([0, 50, 300]),
      lateMs: rng.pick([20, 200]),
      goneAfter: rng.between(50, 200),
      goneFor: rng.pick([0, 0, 5, 40]),
    }
    rng.note('controller', name)
    rng.note('faults', JSON.stringify(faults))
    const medium = new FaultyDisk(JOBS * SLOTS * SLOT_BLOCKS * BLOCK, rng.u32())
    const ops = writeCpio(
      Array.from({ length: JOBS }, (_, i) => ({
        kind: 'file',
        path: `ops${i + 1}`,
        mode: 0o644,
        data: new TextEncoder().encode(operations(rng, i + 1)),
      })),
    )
    const pc = await createPc({
      memoryBytes: 256 << 20,
      machine,
      kernel: new Uint8Array(readFileSync(linux.kernelPath)),
      initrd: Buffer.concat([linux.initrd, ops]),
      commandLine: `console=ttyS0 loglevel=1 rdinit=/auto disk=${disk}`,
      jit: TEST_JIT,
      drives: [{ medium, interface: kind }],
    })
    const observer = new Observer(medium, () => {
      medium.faults = CALM
      pc.serial.receive(Buffer.from('calm\n'))
    })
    // The guest looks for partitions first; a driver may give up a disk that fails then.
    let begun = false
    pc.serial.onTransmit((bytes) => {
      observer.receive(Buffer.from(bytes).toString('latin1'))
      if (!begun && observer.counts.written > 0) {
        begun = true
        medium.faults = { ...faults, goneAfter: medium.requests + faults.goneAfter }
      }
    })
    const { reason } = await pc.run({ timeoutMs: DEADLINE_MS })
    pc.close()
    const { counts, violations, printed } = observer
    for (const key of ['written', 'read', 'bad'] as const) totals[key] += counts[key]
    totals.failed += medium.failed
    totals.requests += medium.requests
    if (reason !== 'power-off') violations.push(`it ended with ${reason}`)
    if (counts.written + counts.read < JOBS * OPERATIONS[1]) violations.push('it did next to nothing')
    if (counts.bad > 0 && medium.failed === 0) violations.push('errors that nobody made')
    if (violations.length > 0) return `${violations.slice(0, 20).join('\n')}\n${printed.slice(-2000)}`
  },
  summary: () =>
    `${totals.requests} requests, ${totals.failed} of them failed; the guest wrote ${totals.written} times, read ${totals.read}, ` +
    `and saw ${totals.bad} errors`,
}
