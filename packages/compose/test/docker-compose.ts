// Debian's docker-compose 1.29.2, the last one in Python: `config` needs no daemon.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'

const SITE = './usr/lib/python3/dist-packages'
const python = (name: string, ...modules: readonly string[]) => ({
  package: name,
  members: modules.map((module) => `${SITE}/${module}`),
})
const PACKAGES = [
  python('docker-compose', 'compose/*', 'docker_compose-*'),
  python('python3-attr', 'attr/*'),
  python('python3-cached-property', 'cached_property.py'),
  python('python3-certifi', 'certifi/*'),
  python('python3-chardet', 'chardet/*'),
  python('python3-distro', 'distro/*'),
  python('python3-docker', 'docker/*'),
  python('python3-dockerpty', 'dockerpty/*'),
  python('python3-docopt', 'docopt.py'),
  python('python3-dotenv', 'dotenv/*'),
  python('python3-idna', 'idna/*'),
  python('python3-jsonschema', 'jsonschema/*'),
  python('python3-packaging', 'packaging/*'),
  python('python3-pyrsistent', 'pyrsistent/*', '_pyrsistent_version.py'),
  python('python3-requests', 'requests/*'),
  python('python3-six', 'six.py'),
  python('python3-texttable', 'texttable.py'),
  python('python3-urllib3', 'urllib3/*'),
  python('python3-websocket', 'websocket/*'),
  python('python3-yaml', 'yaml/*'),
]

/** Runs `docker-compose ARGS` and returns what it prints. */
export type DockerCompose = (args: readonly string[], environment?: Readonly<Record<string, string>>) => string

/** Returns docker-compose, fetched at its first use; undefined where apt or a Python that runs it is missing. */
export async function dockerCompose(): Promise<DockerCompose | undefined> {
  const folders = await debianMembers(PACKAGES)
  if (folders === undefined) return undefined
  const PYTHONPATH = folders.map((folder) => join(folder, SITE)).join(':')
  const run: DockerCompose = (args, environment = {}) =>
    execFileSync('python3', ['-W', 'ignore', '-c', 'from compose.cli.main import main; main()', ...args], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { PATH: process.env['PATH'], PYTHONPATH, ...environment },
    })
  try {
    return run(['--version']).includes('1.29') ? run : undefined
  } catch (error) {
    console.warn(`docker-compose does not run: ${(error as Error).message}`)
    return undefined
  }
}
