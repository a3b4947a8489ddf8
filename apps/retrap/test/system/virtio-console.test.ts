import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { skipNote } from '@retrap/tooling/skip'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect, test } from 'vitest'
import { linuxWith } from '../support/disk-linux.ts'
import { FIRST_PROCESS, TO_DEVICES } from '../support/first-process.ts'
import { runRetrap } from '../support/processes.ts'
import { sha256 } from '../support/sha256.ts'

const DEADLINE_MS = 300_000
const TO_GUEST = 300_001
const FROM_GUEST = 400_003

/** The first process of `rdinit=/auto`. It names ports as udev's rules do, which are not there. */
const AUTO = `${FIRST_PROCESS}/drivers
mkdir -p /dev/virtio-ports
for port in /sys/class/virtio-ports/*; do
  name=$(cat $port/name)
  ln -s /dev/\${port##*/} /dev/virtio-ports/$name
  echo $port $name
done
exec < /dev/hvc0 > /dev/hvc0 2>&1
echo 'a line, please'
read line
echo "the line is $line"
exec 3<> /dev/virtio-ports/org.test.0
head -c ${TO_GUEST} <&3 | sha256sum
head -c ${FROM_GUEST} /dev/urandom > /random
sha256sum /random
cat /random >&3
head -n 1 <&3
echo 'for nobody' > /dev/virtio-ports/org.test.1
echo DONE
poweroff -f
`

const linux = await linuxWith(['virtio_pci', 'virtio_console'], AUTO)
const scratch = temporaryFolder('console')

test.runIf(linux !== undefined)(
  `Linux's console is the terminal, and a port with a name carries bytes both ways${skipNote(linux !== undefined, 'there is no apt')}`,
  async () => {
    const [initrd, path] = [join(scratch, 'initrd'), join(scratch, 'port')]
    writeFileSync(initrd, linux!.initrd)
    const sent = randomBytes(TO_GUEST)
    let received = Buffer.alloc(0)
    let program: Socket | undefined
    const { code, stdout, stderr } = await runRetrap(
      [
        ...['run', '--kernel', linux!.kernelPath, '--initrd', initrd, '--memory', '256M'],
        ...['--append', `${TO_DEVICES} rdinit=/auto`, '--serial', `file:${join(scratch, 'serial')}`],
        ...['--chardev', 'stdio,id=terminal', '--chardev', `socket,id=socket,path=${path},server=on,wait=off`],
        ...['--chardev', 'null,id=nothing', '--device', 'virtio-serial-pci,id=serial'],
        ...['--device', 'virtserialport,chardev=socket,name=org.test.0,bus=serial.0'],
        ...['--device', 'virtserialport,chardev=nothing,name=org.test.1', '--device', 'virtconsole,chardev=terminal'],
      ],
      {
        answers: [{ to: 'a line, please', type: 'typed\n' }],
        onError(said) {
          if (program !== undefined || !said.includes('chardev socket listens on')) return
          program = connect({ path })
          program.write(sent)
          program.on('data', (bytes) => {
            received = Buffer.concat([received, bytes])
            if (received.length === FROM_GUEST) program?.write('got it\n')
          })
        },
        deadlineMs: DEADLINE_MS,
      },
    )
    expect(stderr).toContain(`retrap: chardev socket listens on ${path}`)
    expect(stdout).toContain('the line is typed')
    expect(stdout).toContain(`${sha256(sent)}  -`)
    expect(stdout).toContain(`${sha256(received)}  /random`)
    expect(received).toHaveLength(FROM_GUEST)
    expect(stdout).toMatch(/got it\r\n.*DONE/s)
    expect(code).toBe(0)
  },
  DEADLINE_MS,
)
