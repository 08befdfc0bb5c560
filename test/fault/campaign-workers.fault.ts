import { campaign } from "./campaign.ts";
import { serve, WORKERS, workerFaults } from "./worker-faults.ts";

campaign({
  row: "P8",
  title: `${WORKERS} workers on one log, each fault of their processes`,
  what: `dev --workers ${WORKERS}`,
  async begin(ground) {
    await serve(ground);
    return workerFaults(ground);
  },
});
