// The configuration that every package is bundled with: `rolldown -c ../../.config/rolldown.config.ts` in its folder.
import type { RolldownOptions } from 'rolldown'
import { bundleOptions } from '../packages/tooling/src/rolldown.ts'

const options: RolldownOptions = bundleOptions(process.cwd())
export default options
