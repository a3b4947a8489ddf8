/** The example of a PCI card with its Linux driver: plugged in and given up; recorded and replayed. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect } from 'vitest'
import { writeCpio } from '@retrap/linux-guest/linux/cpio'
import { linuxWith } from '../support/disk-linux.ts'
import { TO_DEVICES } from '../support/first-process.ts'
import { buildModule } from '../support/kernel-module.ts'
import { runRetrap } from '../support/processes.ts'

const test = sliceTests(2)
const DEADLINE_MS = 240_000
const example = (name: string): string =>
  fileURLToPath(new URL(`../../../../packages/device/examples/${name}`, import.meta.url))
const scratch = temporaryFolder('card')

const linux = await linuxWith([], '')
const driver = linux && (await buildModule(example('pci-card-driver'), scratch, 'adder'))
const initrd = join(scratch, 'initrd')
if (linux !== undefined && driver !== undefined) {
  const file = { kind: 'file', path: 'adder.ko', mode: 0o644, data: driver } as const
  writeFileSync(initrd, Buffer.concat([linux.initrd, writeCpio([file])]))
}
const KERNEL = ['--kernel', linux?.kernelPath ?? '', '--initrd', initrd, '--append', TO_DEVICES]
const CARD = example('pci-card.ts')
/** What is typed after Ctrl-A c. */
const command = (line: string): string => `\u0001c${line}\r`
const USE =
  'while ! [ -e /dev/adder ]; do sleep 0.1; done; echo -n abc > /dev/adder; echo "sum: $(cat /dev/adder)"; grep adder /proc/interrupts'

const there = driver !== undefined
const note = skipNote(there, 'there is no apt, gcc or make')

test.skipIf(!there)(
  `a card is plugged in, its driver uses it, and gives it up${note}`,
  { timeout: DEADLINE_MS },
  async () => {
    const ports = ['--machine', 'q35', '--device', 'pcie-root-port,id=rp1']
    const { code, stdout, stderr } = await runRetrap(['run', ...ports, ...KERNEL], {
      answers: [
        { to: '/ # ', type: 'insmod /adder.ko; echo ready-$((6 * 7))\n' },
        { to: 'ready-42', type: `${command(`device_add ${CARD},bus=rp1,id=card`)}${USE}; echo used-$((6 * 7))\n` },
        {
          to: 'used-42',
          type: `${command('device_del card')}while [ -e /dev/adder ]; do sleep 0.1; done; echo gone-$((6 * 7))\n`,
        },
        { to: 'gone-42', type: 'sleep 1; poweroff -f\n' },
      ],
      deadlineMs: DEADLINE_MS,
    })
    expect(stdout, stderr).toMatch(/sum: 294\r\n.*\b1 +PCI-MSI .*adder\r\n[^]*gone-42/)
    expect(stderr).toContain('card: in rp1; the guest is told\r\n')
    expect(stderr).toContain('card: out\r\n')
    expect(code).toBe(0)
  },
)

test.skipIf(!there)(
  `a recorded run with the card is replayed, whose model runs again${note}`,
  { timeout: DEADLINE_MS },
  async () => {
    const run = join(scratch, 'run')
    const recorded = await runRetrap(['run', ...KERNEL, '--device', CARD, '--record', run], {
      answers: [{ to: '/ # ', type: `insmod /adder.ko; ${USE}; poweroff -f\n` }],
      deadlineMs: DEADLINE_MS,
    })
    expect(recorded.stdout, recorded.stderr).toMatch(/sum: 294\r\n/)
    const replayed = await runRetrap(['replay', run], { answers: [], deadlineMs: DEADLINE_MS })
    expect(replayed.stdout, replayed.stderr).toBe(recorded.stdout)
    expect(replayed.code).toBe(0)
  },
)
