// Linux's drivers at work on devices of all kinds, in machines that have booted (../support/prepared.ts): what a disk, a card
// or a folder of the host holds comes to the guest, and what the guest writes arrives.
import { randomBytes } from 'node:crypto'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { withLong } from '@retrap/tooling/long'
import { skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { describe, expect } from 'vitest'
import { makeExt4 } from '../support/boot-media.ts'
import { runHere } from '../support/in-process.ts'
import { echoWhenReady, freePort, openHost } from '../support/network-host.ts'
import { useNetwork } from '../support/network-linux.ts'
import { goOn, isPrepared } from '../support/prepared.ts'
import { lackingPrograms } from '../support/programs.ts'
import { sha256 } from '../support/sha256.ts'

const test = sliceTests(2)

const DEADLINE_MS = 300_000
const MIB = 1 << 20

const lacking = lackingPrograms('mke2fs', 'debugfs', 'e2fsck')
const runs = isPrepared && lacking.length === 0
const note = skipNote(runs, `there is no ${lacking.length > 0 ? lacking.join(', ') : 'apt'}`)
const scratch = temporaryFolder('devices')
/** Reads all media, and writes those that can be written. */
const MEDIA = `mkdir -p /mnt
for d in vda nvme0n1 sdb sr0 sr1; do echo "old $d $(sha256sum < /dev/$d)"; done
for d in vda nvme0n1 sdb; do dd if=/dev/sr0 of=/dev/$d bs=64k conv=fsync 2>/dev/null; done
mount /dev/sda /mnt
cat /mnt/note.txt
cat /dev/sr1 > /mnt/new
umount /mnt
echo 3 > /proc/sys/vm/drop_caches
for d in vda nvme0n1 sdb; do echo "new $d $(sha256sum < /dev/$d)"; done
echo "features $(cat /sys/block/vda/device/features)"
cat /sys/block/vda/serial /sys/class/nvme/nvme0/serial
cat /proc/interrupts
dmesg
poweroff -f
`

const line = (text: string, words: string): string =>
  new RegExp(`^${words} ([^\\r]*?) *-?\\r$`, 'm').exec(text)?.[1]?.trim() ?? text

describe.runIf(runs)(`Linux's drivers${note}`, () => {
  test.each(
    withLong<readonly [what: string, more: readonly string[]]>(
      [['with devices that answer in later turns', ['--devices', 'async']]],
      [['with all in one turn', []]],
    ),
  )('read and write IDE, virtio, NVMe and SCSI drives, %s', { timeout: 3 * DEADLINE_MS }, async (_what, more) => {
    const folder = mkdtempSync(join(scratch, 'media-'))
    mkdirSync(join(folder, 'below'))
    const file = (name: string, bytes: Uint8Array): string => {
      writeFileSync(join(folder, name), bytes)
      return join(folder, name)
    }
    const contents = new Map<string, Buffer>()
    const raw = (name: string, bytes: number): string => {
      contents.set(name, randomBytes(bytes))
      return `file=${file(name, contents.get(name)!)},format=raw`
    }
    file('below/note.txt', Buffer.from('written by the host\n'))
    const [base, over] = [join(folder, 'base.img'), join(folder, 'over.qcow2')]
    makeExt4(base, 8 * MIB, join(folder, 'below'))
    const image = (...args: readonly string[]) => runHere(['image', ...args], { deadlineMs: DEADLINE_MS })
    expect(await image('create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', over)).toMatchObject({ code: 0 })
    const before = sha256(readFileSync(base))
    const { code, stdout, stderr } = await goOn(
      'pc',
      MEDIA,
      {
        disk: `file=${over},format=qcow2`,
        disc: raw('disc', MIB),
        virtio: raw('virtio', MIB),
        nvme: raw('nvme', MIB),
        // Kept in memory: the file stays as it is.
        scsi: `${raw('scsi', MIB)},snapshot=on`,
        scsiDisc: raw('scsiDisc', MIB),
      },
      { deadlineMs: DEADLINE_MS, more },
    )
    const old = (device: string): string => line(stdout, `old ${device}`)
    const sum = (name: string): string => sha256(contents.get(name)!)
    for (const [device, name] of [
      ['vda', 'virtio'],
      ['nvme0n1', 'nvme'],
      ['sdb', 'scsi'],
      ['sr0', 'disc'],
      ['sr1', 'scsiDisc'],
    ] as const)
      expect.soft(old(device), `${device}: ${stdout}${stderr}`).toBe(sum(name))
    for (const device of ['vda', 'nvme0n1', 'sdb']) expect.soft(line(stdout, `new ${device}`)).toBe(sum('disc'))
    const now = (name: string): Buffer => readFileSync(join(folder, name))
    expect(sha256(now('virtio'))).toBe(sum('disc'))
    expect(sha256(now('nvme'))).toBe(sum('disc'))
    expect(sha256(now('scsi'))).toBe(sum('scsi'))
    // Indirect descriptors, event index, version 1.0, packed rings.
    expect(line(stdout, 'features').slice(28, 36)).toBe('11001010')
    for (const text of ['DISK-1', 'NV-1', 'written by the host']) expect(stdout).toContain(text)
    expect(stdout).toMatch(/PCI-MSI.*virtio\d-req\.0/)
    expect(stdout).toMatch(/PCI-MSI.*nvme0q1/)
    expect(stdout).not.toMatch(/i\/o error|timeout|lost interrupt|BUG:|WARNING:|Oops/i)
    expect(code).toBe(0)
    // What was written to the image above is in the one below when it is committed.
    expect(sha256(readFileSync(base))).toBe(before)
    expect(await image('check', over)).toMatchObject({ code: 0 })
    expect(await image('commit', '-q', over)).toMatchObject({ code: 0 })
    execFileSync('e2fsck', ['-fn', base], { stdio: 'pipe' })
    execFileSync('debugfs', ['-R', `dump /new ${join(folder, 'read-back')}`, base], { stdio: 'pipe' })
    expect(sha256(now('read-back'))).toBe(sum('scsiDisc'))
  })

  test('move data by a network card, and write to consoles', { timeout: 3 * DEADLINE_MS }, async () => {
    const [host, port, sent, boot] = [
      await openHost(500_000),
      await freePort(),
      randomBytes(200_000),
      randomBytes(70_000),
    ]
    const folder = join(scratch, 'network')
    mkdirSync(join(folder, 'tftp'), { recursive: true })
    const at = (...names: readonly string[]): string => join(folder, ...names)
    writeFileSync(at('tftp', 'boot.img'), boot)
    const echo = echoWhenReady(port, sent)
    const script = `echo "random $(head -c 32 /dev/hwrng | wc -c)"
echo 'to the terminal' > /dev/hvc0
echo 'to the port' > /dev/$(basename $(dirname $(grep -l org.test.0 /sys/class/virtio-ports/*/name)))
http=${host.ports.http} sink=${host.ports.sink} name=localhost address=127.0.0.1
${useNetwork(500)}`
    try {
      const { code, stdout, stderr } = await goOn(
        'pc',
        script,
        {
          net: `user,hostname=guest,domainname=test,hostfwd=tcp::${port}-:7,tftp=${at('tftp')}`,
          terminal: `file,path=${at('terminal')}`,
          port: `file,path=${at('port')}`,
        },
        { deadlineMs: DEADLINE_MS, onOutput: echo.onOutput },
      )
      const text = stdout + stderr
      expect.soft(line(stdout, 'lease'), text).toBe('10.0.2.15 255.255.255.0 10.0.2.2 10.0.2.3 guest test')
      expect.soft(line(stdout, 'ping')).toContain('2 packets received')
      expect.soft(line(stdout, 'name')).toBe('1')
      expect.soft(line(stdout, 'get')).toBe(sha256(host.data))
      expect.soft(line(stdout, 'put')).toBe(sha256(Buffer.concat(host.taken)))
      expect.soft(line(stdout, 'refused')).toBe('1')
      expect.soft(line(stdout, 'tftp')).toBe(sha256(boot))
      expect.soft(sha256(echo.received())).toBe(sha256(sent))
      expect.soft(line(stdout, 'random')).toBe('32')
      expect.soft(readFileSync(at('terminal'), 'utf8')).toBe('to the terminal\r\n')
      expect.soft(readFileSync(at('port'), 'utf8')).toBe('to the port\n')
      expect(code).toBe(0)
    } finally {
      host.close()
    }
  })
})
