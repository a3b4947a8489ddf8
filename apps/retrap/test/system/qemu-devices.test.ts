/** Linux with edu, i6300esb, fw_cfg and SMBIOS: the same line in QEMU 7.2 and here, the same words of the guest. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { debianKernel, linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS } from '../support/first-process.ts'
import { runRetrap } from '../support/processes.ts'
import { lackingPrograms } from '../support/programs.ts'

const DEADLINE_MS = 240_000
const KERNEL = debianKernel(['drivers/watchdog/*', 'drivers/firmware/*'])
const AUTO = `${FIRST_PROCESS}/drivers
mount -t tmpfs tmpfs /tmp
echo BEGIN
cd $(dirname $(grep -l 0x11e8 /sys/bus/pci/devices/*/device))
echo 1 > enable
bar=$(head -n 1 resource | cut -d ' ' -f 1)
edu() { devmem $((bar + $1)) 32 $2; }
edu 0; edu 4; edu 4 0x12345678; edu 4
for n in 0 5 13 40; do edu 8 $n; while [ $(($(edu 0x20) & 1)) = 1 ]; do :; done; edu 8; done
edu 0x60 0x5; edu 0x24; edu 0x64 0x1; edu 0x24
edu 0x80 0x40000; edu 0x90 4; edu 0x98; edu 0x88
cat /sys/class/watchdog/watchdog0/identity /sys/class/watchdog/watchdog0/timeout
cat /sys/firmware/qemu_fw_cfg/by_name/opt/org.test/hello/raw; echo
cat /sys/class/dmi/id/product_serial /sys/class/dmi/id/product_uuid
echo END
watchdog -F -T 2 -t 100 /dev/watchdog
`
const lacking = lackingPrograms('qemu-system-x86_64')
const linux = lacking.length > 0 ? undefined : await linuxWith(['i6300esb', 'qemu_fw_cfg'], AUTO, KERNEL)
const scratch = temporaryFolder('qemu-devices')
const initrd = join(scratch, 'initrd')

const line = (): string[] => [
  ...['-m', '256', '-display', 'none', '-serial', 'stdio', '-no-reboot', '-net', 'none', '-kernel', linux!.kernelPath],
  ...['-initrd', initrd, '-append', 'console=ttyS0 quiet rdinit=/auto cryptomgr.notests'],
  ...['-device', 'edu', '-device', 'i6300esb', '-device', 'pvpanic-pci'],
  ...['-fw_cfg', 'name=opt/org.test/hello,string=world', '-smbios', 'type=1,serial=ds=nocloud'],
  ...['-uuid', '5f3e9a2c-1d2b-4c3d-8e9f-0a1b2c3d4e5f'],
]
const between = (text: string): string => /BEGIN\r\n([^]*)END\r\n/.exec(text)?.[1] ?? text

describe.runIf(linux !== undefined)(
  `QEMU's small devices${skipNote(linux !== undefined, `it needs ${lacking.join(', ') || 'apt'}`)}`,
  () => {
    test('Linux sees and uses them as in QEMU, and its watchdog resets it', { timeout: 2 * DEADLINE_MS }, async () => {
      writeFileSync(initrd, linux!.initrd)
      const here = await runRetrap(['qemu', 'qemu-system-x86_64', ...line()], { deadlineMs: DEADLINE_MS })
      const there = spawnSync('qemu-system-x86_64', line(), { encoding: 'utf8', timeout: DEADLINE_MS })
      expect(between(here.stdout)).toBe(between(there.stdout))
      expect(between(here.stdout)).toMatch(/^0x010000ED\r\n[^]*i6300ESB timer[^]*world\r\nds=nocloud\r\n5f3e9a2c-/)
      expect([here.code, here.stderr]).toEqual([0, expect.stringContaining("the watchdog's time is over: reset")])
    })
  },
)
