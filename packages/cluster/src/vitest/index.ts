export { clusterTest, crashTest } from './cluster-test.ts'
