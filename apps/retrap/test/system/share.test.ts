import * as fs from 'node:fs'
import { join } from 'node:path'
import { TEST_LONG } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect, test } from 'vitest'
import { FIRST_PROCESS } from '../support/first-process.ts'
import { shareLinux } from '../support/disk-linux.ts'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 600_000
const APPEND = 'console=ttyS0 cryptomgr.notests rdinit=/auto'

/** The first process: what a user would do, one line of its output each. */
const AUTO = `${FIRST_PROCESS}mkdir -p /ro
/drivers
mount -t 9p -o trans=virtio,version=9p2000.L work /mnt || echo NO MOUNT
mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144 fixed /ro || echo NO MOUNT
cd /mnt
cat note.txt
ls many | wc -l
echo from the guest > new
head -c 3000000 /dev/urandom > large
fsync large
sha256sum large
mkdir -p deep/er
mv new deep/er/moved
ln -s /etc/passwd link
cat secret-link secret-dir/secret 2>&1 | grep -c -i 'no such'
echo no > /ro/new 2>/dev/null || echo read-only
cat /ro/note
cd /
umount /mnt /ro && echo UNMOUNTED
dmesg | grep -iE '9p|virtio.*(fail|error)'
poweroff -f
`

const linux = await shareLinux(AUTO)
const scratch = temporaryFolder('9p')

describe.runIf(linux !== undefined)(`9P${skipNote(linux !== undefined, 'there is no apt')}`, () => {
  test('Linux mounts two directories of the host and works in them', { timeout: DEADLINE_MS }, async () => {
    const [work, fixed] = [join(scratch, 'work'), join(scratch, 'fixed')]
    for (const folder of [work, fixed, join(work, 'many'), join(scratch, 'outside')]) fs.mkdirSync(folder)
    fs.writeFileSync(join(work, 'note.txt'), 'written by the host\n')
    fs.writeFileSync(join(fixed, 'note'), 'it stays\n')
    fs.writeFileSync(join(scratch, 'outside/secret'), 'SECRET\n')
    fs.symlinkSync(join(scratch, 'outside/secret'), join(work, 'secret-link'))
    fs.symlinkSync(join(scratch, 'outside'), join(work, 'secret-dir'))
    for (let i = 0; i < 2000; i++) fs.writeFileSync(join(work, `many/file-${i}`), '')
    const initrd = join(scratch, 'initrd')
    fs.writeFileSync(initrd, linux!.initrd)
    const shares = ['--share', `work=${work}`, '--virtfs', `local,path=${fixed},mount_tag=fixed,readonly=on`]
    const kernel = ['--kernel', linux!.kernelPath, '--initrd', initrd]
    const { code, stdout } = await runRetrap(['run', ...kernel, '--append', APPEND, ...shares, '--no-reboot'], {
      deadlineMs: DEADLINE_MS,
    })
    const lines = stdout.split(/\r?\n/)
    expect(stdout).toContain('UNMOUNTED')
    expect(stdout).not.toMatch(/NO MOUNT|SECRET|9p.*(?:error|fail)/i)
    for (const line of ['written by the host', '2000', 'read-only', 'it stays']) expect(lines).toContain(line)
    const told = /([0-9a-f]{64}) {2}large/.exec(stdout)?.[1]
    expect(sha256(fs.readFileSync(join(work, 'large')))).toBe(told)
    expect(fs.readFileSync(join(work, 'deep/er/moved'), 'utf8')).toBe('from the guest\n')
    expect(fs.readlinkSync(join(work, 'link'))).toBe('/etc/passwd')
    expect(fs.readdirSync(fixed)).toEqual(['note'])
    expect(code).toBe(0)
  })

  test('retrap linux has the driver of folders where one is shared', { timeout: DEADLINE_MS }, async () => {
    const folder = join(scratch, 'linux')
    fs.mkdirSync(folder)
    fs.writeFileSync(join(folder, 'note.txt'), 'written by the host\n')
    const mount = 'mount -t 9p -o trans=virtio,version=9p2000.L work /mnt && cat /mnt/note.txt'
    const { code, stdout } = await runRetrap(['linux', '--share', `work=${folder}`, '--command', mount], {
      deadlineMs: DEADLINE_MS,
    })
    expect([/\r?\nwritten by the host\r?\n/.test(stdout), code]).toEqual([true, 0])
  })

  test.runIf(TEST_LONG)(
    'what Linux finds in them is recorded, and the run is the same again when they are empty',
    async () => {
      const [work, fixed] = [join(scratch, 'recorded'), join(scratch, 'recorded-fixed')]
      for (const folder of [work, fixed, join(work, 'many')]) fs.mkdirSync(folder)
      fs.writeFileSync(join(work, 'note.txt'), `written by the host at ${Date.now()}\n`)
      fs.writeFileSync(join(fixed, 'note'), 'it stays\n')
      for (let i = 0; i < 50; i++) fs.writeFileSync(join(work, `many/file-${i}`), '')
      const initrd = join(scratch, 'recorded-initrd')
      fs.writeFileSync(initrd, linux!.initrd)
      const file = join(scratch, 'recording')
      const args = ['--kernel', linux!.kernelPath, '--initrd', initrd, '--append', APPEND]
      const shares = ['--share', `work=${work}`, '--virtfs', `local,path=${fixed},mount_tag=fixed,readonly=on`]
      const first = await runRetrap(['run', ...args, ...shares, '--record', file], { deadlineMs: DEADLINE_MS })
      expect(first.stdout).toContain('UNMOUNTED')
      for (const folder of [work, fixed]) {
        fs.rmSync(folder, { recursive: true })
        fs.mkdirSync(folder)
      }
      const again = await runRetrap(['replay', file], { deadlineMs: DEADLINE_MS })
      expect([again.stdout, again.code]).toEqual([first.stdout, 0])
      expect(fs.readdirSync(work)).toEqual([])
      const asked = await runRetrap(['replay', file, '--who-wrote', 'jiffies 8'], { deadlineMs: DEADLINE_MS })
      expect(asked.stderr).toMatch(/retrap: the instruction at 0x\w+, \w+\+0x\w+, pid \d+ \S+, of CPU 0: goto \d+\n/)
    },
    3 * DEADLINE_MS,
  )
})
