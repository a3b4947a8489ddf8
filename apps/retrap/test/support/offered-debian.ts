import { createPc } from '@retrap/machine'
import { createArmMachine } from '@retrap/machine/arm'
import { noBrowser, type Page } from '@retrap/tooling/browser'
import { debianMembers } from '@retrap/tooling/debian'
import { madeOnce } from '@retrap/tooling/made-once'
import type { LinuxArchitecture } from '@retrap/linux-guest/linux/debian'
import type { CreateMachine } from '@retrap/linux-guest/machine/machine-contract'
import { debianFilesIn, debianPackages } from '../../src/commands/web/debian-files.ts'
import { makeDebianSystem, SYSTEMS_LIST, systemsList } from '../../src/commands/web/debian-system.ts'

const ARCHITECTURES: readonly LinuxArchitecture[] = ['amd64', 'arm64']
const members = noBrowser === undefined ? await debianMembers(ARCHITECTURES.flatMap(debianPackages)) : undefined

/** Says why the start page's Debian cannot be tried here; undefined where it can. */
export const noDebian: string | undefined = noBrowser ?? (members === undefined ? 'there is no apt' : undefined)

/** The files that `retrap web --debian` adds to its site for an architecture, made by the first test file that asks. */
export const offeredDebian = (architecture: LinuxArchitecture = 'amd64'): Promise<Map<string, Uint8Array>> =>
  madeOnce(`offered-debian-${architecture}`, async () => {
    const [kernel, busybox] = members!.slice(2 * ARCHITECTURES.indexOf(architecture))
    const linux = debianFilesIn(architecture, kernel!, busybox!)
    const create = architecture === 'amd64' ? createPc : createArmMachine
    const { system, files } = await makeDebianSystem(linux, create as unknown as CreateMachine)
    return new Map([...files, [SYSTEMS_LIST, systemsList([system])]])
  })

/** The text that the page's terminal shows. */
export const terminalText = async (page: Page): Promise<string> =>
  (await page.evaluate(
    "[...document.querySelectorAll('.xterm-rows > div')].map((row) => row.textContent).join('\\n')",
  )) as string
