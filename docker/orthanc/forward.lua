-- Every CT series goes to the station once no image has come for StableAge seconds, in one
-- association. What the station itself sent is never sent back to it. A job that failed stays in
-- the list of jobs, from where it can be sent again.
function OnStableSeries(seriesId, tags, metadata)
  if tags["Modality"] == "CT" and metadata["RemoteAET"] ~= "ICHCLIENT" then
    RestApiPost("/modalities/ichclient/store",
                '{"Resources": ["' .. seriesId .. '"], "Synchronous": false}')
  end
end
