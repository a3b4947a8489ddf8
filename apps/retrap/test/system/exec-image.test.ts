import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fetchMembers } from '@retrap/debian'
import { savedImage, writeLayout } from '@retrap/tooling/container-images'
import { hasProc, hasProgram, skipNote } from '@retrap/tooling/skip'
import { sliceTests } from '@retrap/tooling/slice'
import { writeTar } from '@retrap/tooling/tar-writer'
import { temporaryFolder } from '@retrap/tooling/temporary-folder'
import { expect } from 'vitest'
import { EXEC_DEADLINE_MS as DEADLINE_MS, retrapExec as exec } from '../support/exec.ts'

const isHere = hasProc && process.arch === 'x64' && hasProgram('apt-get')
const test = sliceTests(2).skipIf(!isHere)
const note = skipNote(isHere, 'it makes an image of Debian packages')

const folder = temporaryFolder('exec-image')

const LIBRARIES = './lib/x86_64-linux-gnu/*'
const PACKAGES = [
  { package: 'libc6', members: [LIBRARIES, './lib64/*'] },
  { package: 'libselinux1', members: [LIBRARIES] },
  { package: 'libpcre2-8-0', members: ['./usr/lib/x86_64-linux-gnu/*'] },
  { package: 'dash', members: ['./bin/*'] },
  { package: 'coreutils', members: ['./bin/cat', './bin/ls', './usr/bin/id', './usr/bin/env'] },
]

/** Says all that an image's config sets. */
const SCRIPT = 'id -u; id -g; echo "$0 $*"; echo "$GREETING"; pwd; ls; cat kept; echo x >made && cat made'

/** A layer for each package, one with files of the image's own, and one that takes one of them away. */
async function layers(): Promise<readonly Uint8Array[]> {
  const unpacked = await fetchMembers(PACKAGES)
  return [
    ...unpacked.map((files) =>
      execFileSync('tar', ['-c', '--owner=0', '--group=0', '--exclude=./.retrap*', '-C', files, '.'], {
        maxBuffer: 1 << 27,
      }),
    ),
    writeTar([
      { name: 'etc/', kind: '5', mode: 0o755 },
      { name: 'etc/passwd', content: 'root:x:0:0::/:/bin/sh\napp:x:1234:5678::/srv:/bin/sh\n' },
      { name: 'srv/', kind: '5', mode: 0o755, uid: 1234, gid: 5678 },
      { name: 'srv/kept', content: 'of the lower layer\n' },
      { name: 'srv/gone', content: 'hidden\n' },
    ]),
    writeTar([{ name: 'srv/.wh.gone' }, { name: 'srv/kept', content: 'of the upper layer\n' }]),
  ]
}

const config = {
  Env: ['GREETING=good day'],
  User: 'app',
  WorkingDir: '/srv',
  Entrypoint: ['sh', '-c', SCRIPT],
  Cmd: ['name', 'usual'],
}

const said = (args: string, greeting: string): string =>
  `1234\n5678\n${args}\n${greeting}\n/srv\nkept\nof the upper layer\nx\n`

test.each<{ readonly form: string; readonly write: (path: string, layers: readonly Uint8Array[]) => void }>([
  { form: 'an archive of docker save', write: (path, all) => writeFileSync(path, savedImage(all, { config })) },
  { form: 'an OCI layout', write: (path, all) => void writeLayout(path, all, { config, compression: 'tar+gzip' }) },
])(
  `an image of Debian's packages, $form, runs as it says${note}`,
  { timeout: DEADLINE_MS },
  async ({ form, write }) => {
    const path = join(folder, form.replaceAll(' ', '-'))
    write(path, await layers())
    expect(exec(['--image', path])).toEqual({ code: 0, stdout: said('name usual', 'good day'), stderr: '' })
    expect(exec(['--image', path, '--entrypoint', 'id', '--', '-u'])).toEqual({ code: 0, stdout: '1234\n', stderr: '' })
    expect(exec(['--image', `${path}:test`, '--env', 'GREETING=hello', '--', 'name', 'a b'])).toEqual({
      code: 0,
      stdout: said('name a b', 'hello'),
      stderr: '',
    })
  },
)
