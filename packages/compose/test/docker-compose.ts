// Debian's docker-compose 1.29.2, the last one in Python: `config` needs no daemon.
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { debianMembers } from '@retrap/tooling/debian'

const SITE = './usr/lib/python3/dist-packages'
/** Modules by the names of packages. */
const MODULES: Readonly<Record<string, readonly string[]>> = {
  'docker-compose': ['compose/*', 'docker_compose-*'],
  'python3-cached-property': ['cached_property.py'],
  'python3-docopt': ['docopt.py'],
  'python3-pyrsistent': ['pyrsistent/*', '_pyrsistent_version.py'],
  'python3-six': ['six.py'],
  'python3-texttable': ['texttable.py'],
  ...Object.fromEntries(
    'attr certifi chardet distro docker dockerpty dotenv idna jsonschema packaging requests urllib3 websocket yaml'
      .split(' ')
      .map((name) => [`python3-${name}`, [`${name}/*`]]),
  ),
}
const PACKAGES = Object.entries(MODULES).map(([name, modules]) => ({
  package: name,
  members: modules.map((module) => `${SITE}/${module}`),
}))

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
