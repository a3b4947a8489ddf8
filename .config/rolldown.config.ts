// The configuration that every package is bundled with: `rolldown -c ../../.config/rolldown.config.ts` in its folder.
import type { RolldownOptions } from 'rolldown'
import { packageOptions } from '../packages/tooling/src/rolldown.ts'

const options: RolldownOptions = await packageOptions(process.cwd())
export default options
