import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'
import { makeExt4, makeGrubDisk } from '../boot-media.ts'
import { makeDebianRoot, rootLinux } from '../debian-root.ts'
import { runRetrap } from '../processes.ts'
import { type BootRow, DEADLINE_MS } from './row.ts'

/** GRUB starts Xen by multiboot 2, and below it Debian with systemd as its first domain, whose root is a disk. */
export const XEN_ROW: BootRow = {
  name: 'Xen with a first domain from disk',
  async run(scratch) {
    const [xen] = (await debianMembers([{ package: 'xen-hypervisor-4.17-amd64', members: ['./boot/*'] }])) ?? []
    const linux = await rootLinux()
    const folder = join(scratch, 'root')
    mkdirSync(folder)
    if (xen === undefined || linux === undefined || !(await makeDebianRoot(folder)))
      return 'there is no apt to fetch Debian with'
    const disk = join(scratch, 'root.img')
    makeExt4(disk, 512 << 20, folder)
    const loader = await makeGrubDisk(mkdtempSync(join(scratch, 'loader-')), linux, 'console=hvc0 quiet rdinit=/auto', {
      path: join(xen, 'boot/xen-4.17-amd64.gz'),
      commandLine: 'console=com1 com1=115200,8n1 dom0_mem=768M',
    })
    const { code, stdout } = await runRetrap(['run', '--memory', '1280M', '--hda', loader ?? '', '--hdb', disk], {
      answers: [
        { to: 'login: ', type: 'root\n' },
        { to: 'Password: ', type: 'retrap\n' },
        { to: '# ', type: 'cat /sys/hypervisor/type /sys/hypervisor/guest_type; echo dom0-$((6 * 7))\n' },
        { to: 'dom0-42', type: 'systemctl poweroff\n' },
      ],
      deadlineMs: DEADLINE_MS,
    })
    if (code !== 0 || !/xen\s+PV\s+dom0-42/.test(stdout)) return `it ended with ${code}:\n${stdout.slice(-3000)}`
    execFileSync('e2fsck', ['-fn', disk], { stdio: 'pipe' })
  },
}
